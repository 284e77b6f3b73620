# SPDX-License-Identifier: Apache-2.0
"""The configs of the DAG repository: YAML files, read from the release that runs.

>>> from rax.config import get_config
>>> config = get_config("ebi.flights.daily")        # configs/ebi/flights/daily.yaml
>>> config["source"], config.target.table
('EBI-ETL-DEV-01', 'flights')

A config is a dict that cannot be changed; its lists are tuples:

>>> config.months
(1, 2, 3)
>>> config["source"] = "another"
Traceback (most recent call last):
    ...
TypeError: config ebi.flights.daily is read-only

Where configs are looked for, first match:

1. ``RAX_CONFIG_DIR``: one or more folders, separated by ``:``. A file of the same name in a
   later folder is merged over the earlier one, mapping by mapping.
2. ``RAX_RELEASE_DIR``, which the DAG bundle sets in each task: its folder ``configs``.
3. The published release, ``/home/airflow/airflow-git-dir/configs``, resolved once in a process.
"""

import functools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from rax.errors import ConfigNotFoundError, MalformedConfigError

__all__ = ["Config", "get_config"]

_PUBLISHED = Path("/home/airflow/airflow-git-dir")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*")


class Config(dict[str, Any]):
    """A read-only dict whose keys are attributes too, unless a dict has such a method.

    It stays a dict, so that json, Jinja, operators and XCom take it as one.
    """

    __slots__ = ("_name",)

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        """Freeze the values; the name is for messages."""
        super().__init__({key: _freeze(value, f"{name}.{key}") for key, value in values.items()})
        object.__setattr__(self, "_name", name)

    def __getattr__(self, key: str) -> Any:
        """Return the value of a key."""
        if key.startswith("_"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError as error:
            raise AttributeError(error.args[0], name=key, obj=self) from None

    def __missing__(self, key: str) -> NoReturn:
        """Name the config, and the keys that look alike."""
        raise KeyError(f"config {self._name} has no key {key!r}{_near(str(key), map(str, self))}")

    def _read_only(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(f"config {self._name} is read-only")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only

    def __reduce__(self) -> tuple[type["Config"], tuple[dict[str, Any], str]]:
        """Pickle and copy through the constructor: items cannot be set."""
        return Config, (dict(self), self._name)


def get_config(name: str) -> Config:
    """Return the config of that dotted name.

    >>> get_config("ebi.flights.dayly")
    Traceback (most recent call last):
        ...
    rax.errors.ConfigNotFoundError: no config 'ebi.flights.dayly' in ...: \
did you mean ebi.flights.daily?
    """
    if not _NAME.fullmatch(name):
        raise ConfigNotFoundError(
            f"{name!r} is not the name of a config: folders and file are joined by dots, "
            "as in 'folder1.folder2.config_name'"
        )
    roots = _roots()
    merged: dict[str, Any] | None = None
    for root in roots:
        path = root.joinpath(*name.split(".")).with_suffix(".yaml")
        if path.exists():
            merged = _merge(merged or {}, _load(path, root))
    if merged is None:
        where = ", ".join(map(str, roots))
        raise ConfigNotFoundError(f"no config {name!r} in {where}{_near(name, _names(roots))}")
    return Config(merged, name)


def _roots() -> list[Path]:
    if named := os.environ.get("RAX_CONFIG_DIR"):
        return [Path(root) for root in named.split(os.pathsep) if root]
    if release := os.environ.get("RAX_RELEASE_DIR"):
        return [Path(release, "configs")]
    return [_published()]


@functools.cache
def _published() -> Path:
    """Resolve the link once, so that a process never sees files of two releases."""
    try:
        return _PUBLISHED.resolve(strict=True) / "configs"
    except OSError:
        raise ConfigNotFoundError(
            f"{_PUBLISHED} does not exist on this machine: "
            "set RAX_CONFIG_DIR to the folder 'configs' of your checkout"
        ) from None


def _load(path: Path, root: Path) -> dict[str, Any]:
    import yaml  # here, because it takes longer than everything else that rax imports

    if not path.resolve().is_relative_to(root.resolve()):
        raise MalformedConfigError(f"{path}: is a link that leads out of {root}")
    try:
        content = path.read_bytes()
        document = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise MalformedConfigError(f"{path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MalformedConfigError(f"{path}{line}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise MalformedConfigError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        found = "nothing" if document is None else f"a {type(document).__name__}"
        raise MalformedConfigError(f"{path}: holds {found}, where 'key: value' lines are expected")
    return document


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _freeze(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return Config(value, name)
    if isinstance(value, list | tuple):
        return tuple(_freeze(item, f"{name}[{index}]") for index, item in enumerate(value))
    return value


def _names(roots: Iterable[Path]) -> set[str]:
    return {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for root in roots
        for path in root.rglob("*.yaml")
    }


def _near(name: str, names: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, sorted(names), n=3)
    return f": did you mean {' or '.join(near)}?" if near else ""
