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

A dataclass checks it and names its types, for the editor too:

>>> from dataclasses import dataclass
>>> from rax.config import CredentialName
>>> @dataclass(frozen=True)
... class Target:
...     table: str
...     schema: str = "public"
>>> @dataclass(frozen=True)
... class Daily:
...     source: CredentialName
...     target: Target
...     months: tuple[int, ...]
>>> get_config("ebi.flights.daily", Daily)
Daily(source='EBI-ETL-DEV-01', target=Target(table='flights', schema='public'), months=(1, 2, 3))

A CredentialName is a str that has the form of a credential's name; ``rax check`` warns where the
deployment has no such credential. In a pydantic model it is a str like any other.

Files are YAML in which nothing is read otherwise than it is written: a word without quotes that
some reader of YAML takes for something else, such as ``NO``, ``22:30`` or ``1.10``, is refused,
with the quotes to add. Keys are texts or whole numbers, each of them once. ``${…}`` and ``{{…}}``
stay as they are: a config names its credentials and never holds one, and find_secrets() reports
what looks otherwise.

Where configs are looked for, first match:

1. ``RAX_CONFIG_DIR``: one or more folders, separated by ``:``. A file of the same name in a
   later folder is merged over the earlier one, mapping by mapping; lists are replaced.
2. ``RAX_RELEASE_DIR``, which the DAG bundle sets in each task: its folder ``configs``.
3. The published release, ``/home/airflow/airflow-git-dir/configs``, resolved once in a process.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, overload

from rax._file_identity import Identity, identity
from rax.config import _files, _merging
from rax.config._credential_name import CredentialName
from rax.config._secrets import find_secrets
from rax.errors import ConfigNotFoundError, MalformedConfigError

__all__ = [
    "Config",
    "CredentialName",
    "check_file",
    "config_files",
    "config_roots",
    "find_problems",
    "find_secrets",
    "get_config",
    "list_configs",
]

_Schema = TypeVar("_Schema")


class Config(dict[str, Any]):
    """A read-only dict whose keys are attributes too, unless a dict has such a method.

    It stays a dict, so that json, Jinja, operators and XCom take it as one.
    """

    __slots__ = ("_name",)

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        """Freeze the values; the name is for messages."""
        super().__init__({key: _freeze(value, name, f".{key}") for key, value in values.items()})
        object.__setattr__(self, "_name", name)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError as error:
            raise AttributeError(error.args[0], name=key, obj=self) from None

    def __missing__(self, key: str) -> NoReturn:
        """Name the config, and the keys that look alike."""
        near = _files.near(str(key), map(str, self))
        raise KeyError(f"config {self._name} has no key {key!r}{near}")

    def _read_only(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(f"config {self._name} is read-only")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only

    def __reduce__(self) -> tuple[type["Config"], tuple[dict[str, Any], str]]:
        """Pickle and copy through the constructor: items cannot be set."""
        return Config, (dict(self), self._name)


class _CacheEntry:
    """A config that was read, until one of its files changes, comes or goes."""

    __slots__ = ("config", "files", "looked_at")

    def __init__(
        self, config: Config, files: list[Path], looked_at: list[tuple[str, Identity | None]]
    ) -> None:
        self.config = config
        self.files = files
        # Places where there was no file are in it, too: one may have come since.
        self.looked_at = looked_at


# The keys are the two settings and the name. Entries are put and got as a whole, so that threads
# need no lock, and a fork finds none held.
_cache: dict[tuple[str | None, str | None, str], _CacheEntry] = {}


@overload
def get_config(name: str, schema: None = None) -> Config: ...


@overload
def get_config(name: str, schema: type[_Schema]) -> _Schema: ...


def get_config(name: str, schema: type[_Schema] | None = None) -> Config | _Schema:
    """Return the config of that dotted name, or an instance of the schema that is made of it.

    A schema is a dataclass or a pydantic model. Fields of a dataclass may be texts, numbers, truth
    values, dates, times, None, Literal, CredentialName, further dataclasses and models, list,
    tuple, set, frozenset, dict, Sequence and Mapping of these, and unions. A whole number serves as
    a float, and a text such as "2026-01-31" as the date or time that it is; nothing else is
    converted. Keys that a dataclass does not have are refused; of a model its own settings decide.

    Raises ConfigNotFoundError, or MalformedConfigError for a file that is not a YAML mapping inside
    its root, and for a config that does not fit the schema: it names each key, and no values.

    >>> get_config("ebi.flights.dayly")
    Traceback (most recent call last):
        ...
    rax.errors.ConfigNotFoundError: no config 'ebi.flights.dayly' in ...: \
did you mean ebi.flights.daily?
    """
    config = _current(name).config
    if schema is None:
        return config
    from rax.config._schema import build

    return build(schema, config, f"config {name}")


def list_configs() -> list[str]:
    """Return the names of all configs, sorted; what is in their files makes no difference."""
    return _files.names(config_roots())


def config_roots() -> list[Path]:
    """Return the folders that configs are looked for in; they need not be there.

    Raises ConfigNotFoundError where nothing is set and nothing is published.
    """
    return _files.roots(os.environ.get("RAX_CONFIG_DIR"), os.environ.get("RAX_RELEASE_DIR"))


def config_files(name: str) -> list[Path]:
    """Return the files that a config is read from, each merged over those before it.

    Raises what get_config() raises.
    """
    return list(_current(name).files)


def check_file(path: Path, root: Path) -> None:
    """Check one file as get_config() reads it; ``root`` is the folder of configs that it is in.

    Raises ConfigNotFoundError when it is not there, and MalformedConfigError with the path and,
    where it is known, the line: ``configs/pods.yaml:3: has more than one document (---)``.
    """
    from rax.config import _yaml

    _yaml.load(_content(path, root), path)


def find_problems(path: Path, root: Path) -> list[str]:
    """Return all that check_file() refuses a file for, each with path and line.

    Raises ConfigNotFoundError when it is not there.
    """
    from rax.config import _yaml

    try:
        return _yaml.find_problems(_content(path, root), path)
    except MalformedConfigError as error:
        return [str(error)]


def _content(path: Path, root: Path) -> bytes:
    file = _files.read(path, root)
    if file is None:
        raise ConfigNotFoundError(f"{path}: does not exist")
    return file.content


def _current(name: str) -> _CacheEntry:
    named = os.environ.get("RAX_CONFIG_DIR")
    key = (named, None if named else os.environ.get("RAX_RELEASE_DIR"), name)
    entry = _cache.get(key)
    return entry if entry is not None and _is_current(entry) else _read(*key)


def _is_current(entry: _CacheEntry) -> bool:
    for path, known in entry.looked_at:
        try:
            found: Identity | None = identity(os.stat(path))  # noqa: PTH116 - twice as fast
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError:
            return False
        if found != known:
            return False
    return True


def _read(named: str | None, release: str | None, name: str) -> _CacheEntry:
    _files.check_name(name)
    roots = _files.roots(named, release)
    merged: dict[str, Any] | None = None
    files: list[Path] = []
    looked_at: list[tuple[str, Identity | None]] = []
    settled = True
    for root in roots:
        path = _files.path_of(root, name)
        file = _files.read(path, root)
        looked_at.append((str(path), file.identity if file else None))
        if file is None:
            continue
        files.append(path)
        # Here, because importing yaml takes longer than everything else.
        from rax.config import _yaml

        settled = settled and file.identity is not None
        values = _yaml.load(file.content, path)
        merged = values if merged is None else _merging.merged(merged, values)
    if merged is None:
        where = ", ".join(map(str, roots))
        why = _files.explain_missing(name, roots)
        raise ConfigNotFoundError(f"no config {name!r} in {where}{why}")
    entry = _CacheEntry(Config(merged, name), files, looked_at)
    if settled:
        _cache[named, release, name] = entry
    return entry


def _freeze(value: Any, name: str, step: str) -> Any:
    if isinstance(value, dict):
        return Config(value, name + step)
    if isinstance(value, list | tuple):
        name += step
        return tuple([_freeze(item, name, f"[{index}]") for index, item in enumerate(value)])
    return value
