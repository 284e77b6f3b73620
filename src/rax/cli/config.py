# SPDX-License-Identifier: Apache-2.0
"""``rax config``: the configs of the release, as a task that starts now reads them."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rax._printable import printable
from rax.cli._account import leave_root
from rax.cli._commands import add_command, add_group, complete
from rax.cli._output import write, write_json
from rax.errors import RaxError

if TYPE_CHECKING:
    from rax.cli._commands import Commands

_SHA = re.compile(r"[0-9a-f]{40}")
_ROOTS = (
    "The configs are those of RAX_CONFIG_DIR (folders joined by ':', later ones over earlier),\n"
    "or else of the release in RAX_RELEASE_DIR, or else of the published release."
)


def add_parser(commands: "Commands") -> None:
    """Add the group to the command line."""
    group = add_group(commands, "config", "the configs of the DAG repository")
    add_command(group, "list", _list, "the names of all configs", _ROOTS)
    show = add_command(
        group, "show", _show, "a config as a task gets it, and the files it is from", _ROOTS
    )
    complete(show.add_argument("name", metavar="NAME", help="such as ebi.flights.daily"), _names)


def _names() -> list[str]:
    from rax.config import list_configs

    return list_configs()


def _list(options: argparse.Namespace) -> int:
    leave_root()
    names = _names()
    if options.json:
        write_json(names)
    else:
        write("".join(f"{name}\n" for name in names))
    return 0


def _show(options: argparse.Namespace) -> int:
    from rax.config import config_files, find_secrets, get_config

    leave_root()
    name = options.name
    found = get_config(name)
    secrets = find_secrets(found, _credential_names())
    config = _masked(found, "", set(secrets))
    files = [path.resolve() for path in config_files(name)]
    release = _release(files)
    if options.json:
        write_json(
            {
                "name": name,
                "release": release,
                "files": [str(file) for file in files],
                "masked": secrets,
                "config": config,
            }
        )
        return 0
    # The head is written as comments, so that the whole is YAML.
    head = [f"release {release}"] if release else []
    head += [f"{'merged over that: ' * bool(index)}{file}" for index, file in enumerate(files)]
    head += [
        f"{path} looks like a secret, so it is masked: a config names credentials and holds none"
        for path in secrets
    ]
    write("".join(f"# {printable(line)}\n" for line in head))
    write(_yaml(config))
    return 0


def _yaml(config: dict[str, Any]) -> str:
    """Write a config as people do: a list of scalars in one line, all else line by line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def represent_list(self, data: Any) -> Any:
            flow = not any(isinstance(item, dict | list) for item in data)
            return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    Dumper.add_representer(list, Dumper.represent_list)
    return yaml.dump(config, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def _credential_names() -> list[str]:
    """Return what a config may name; on a machine without credentials, nothing."""
    from rax.credentials import list_credentials

    try:
        return list_credentials()
    except RaxError:
        return []


def _masked(value: Any, path: str, secrets: set[str]) -> Any:
    """Return a config as the plain dicts and lists that it was read from, without its secrets."""
    if path in secrets:
        return "***"
    # The paths are built as find_secrets() builds them.
    if isinstance(value, Mapping):
        return {
            key: _masked(item, f"{path}.{key}".lstrip("."), secrets) for key, item in value.items()
        }
    if isinstance(value, list | tuple | frozenset):
        return [_masked(item, f"{path}[{index}]", secrets) for index, item in enumerate(value)]
    return value


def _release(files: list[Path]) -> str | None:
    """Return the commit of the release that the files are of, if they are of one."""
    parts = [part for file in files for part in file.parts if _SHA.fullmatch(part)]
    return parts[0] if len(set(parts)) == 1 else None
