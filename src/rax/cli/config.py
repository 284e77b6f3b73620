# SPDX-License-Identifier: Apache-2.0
"""``rax config``: the configs of the release, as a task that starts now reads them."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rax._laptop import use_local
from rax._printable import one_line, printable
from rax.cli._account import leave_root
from rax.cli._commands import add_command, add_group, complete
from rax.cli._output import write, write_json
from rax.errors import RaxError

if TYPE_CHECKING:
    from rax.cli._commands import Commands

_SHA = re.compile(r"[0-9a-f]{40}")
_ROOTS = (
    "The configs are those of RAX_CONFIG_DIR (folders joined by ':', later ones over earlier),\n"
    "or else of the release in RAX_RELEASE_DIR, or else of the published release. In a DAG\n"
    "repository on a laptop they are its own, with those of its local/configs over them."
)
_CHECKED = f"""\
Every *.yaml and *.yml is read as get_config() and the gate of the DAG sync read it, and all
that is wrong is printed, a line for each problem. Without FOLDER:
{_ROOTS}
exit codes:
  0  nothing is wrong
  1  something is
  3  there is no such folder"""


def add_parser(commands: "Commands") -> None:
    """Add the group to the command line."""
    group = add_group(commands, "config", "the configs of the DAG repository")
    add_command(group, "list", _list, "the names of all configs", _ROOTS)
    show = add_command(
        group, "show", _show, "a config as a task gets it, and the files it is from", _ROOTS
    )
    complete(show.add_argument("name", metavar="NAME", help="such as ebi.flights.daily"), _names)
    check = add_command(
        group, "check", _check, "all that is wrong with the files of configs", _CHECKED
    )
    check.add_argument(
        "folders", metavar="FOLDER", nargs="*", type=Path, help="a DAG repository, or its configs"
    )


def _names() -> list[str]:
    from rax.config import list_configs

    return list_configs()


def _list(options: argparse.Namespace) -> int:
    leave_root()
    use_local()
    names = _names()
    if options.json:
        write_json(names)
    else:
        write("".join(f"{name}\n" for name in names))
    return 0


def _show(options: argparse.Namespace) -> int:
    from rax.config import config_files, find_secrets, get_config

    leave_root()
    use_local()
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


def _check(options: argparse.Namespace) -> int:
    from rax.config import config_roots, find_problems

    leave_root()
    use_local()
    roots = [_configs_of(folder) for folder in options.folders] or config_roots()
    if absent := [str(root) for root in roots if not root.is_dir()]:
        raise RaxError(f"there is no folder {' or '.join(absent)}")
    files = [
        (path, root)
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.suffix in (".yaml", ".yml") and not path.is_dir()
    ]
    problems = [problem for path, root in files for problem in find_problems(path, root)]
    if options.json:
        write_json({"files": len(files), "problems": problems})
    else:
        write("".join(f"{one_line(problem)}\n" for problem in problems))
        if not problems:
            write(f"{len(files)} files, nothing is wrong\n")
    return int(bool(problems))


def _configs_of(folder: Path) -> Path:
    """Return the configs of a DAG repository; a folder without such is taken for them."""
    return folder / "configs" if (folder / "configs").is_dir() else folder


def _yaml(config: dict[str, Any]) -> str:
    import yaml

    from rax.config._dumper import config_dumper

    return yaml.dump(config, Dumper=config_dumper(), sort_keys=False, allow_unicode=True, width=100)


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
    if isinstance(value, list | tuple):
        return [_masked(item, f"{path}[{index}]", secrets) for index, item in enumerate(value)]
    return value


def _release(files: list[Path]) -> str | None:
    """Return the commit of the release that the files are of, if they are of one."""
    parts = [part for file in files for part in file.parts if _SHA.fullmatch(part)]
    return parts[0] if len(set(parts)) == 1 else None
