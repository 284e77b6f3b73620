# SPDX-License-Identifier: Apache-2.0
"""The settings of a DAG repository: ``rax.toml`` at its root.

::

    [deployment]
    repository = "https://git.example.org/platform/caspian-deploy.git"
    ref = "v0.1.0"
    python = "3.11"

    [check]
    dags_folder = "dags"
    plain_dags = false
    credentials = "credentials.txt"
    max_parse_seconds = 2.0

    [flows]
    required = false
    max_seconds = 600.0
    max_memory_mib = 2048.0
    unverified = {genes_daily = "runs nowhere but on the cluster of another team"}
    target = "AIRFLOW-STAGING-01"

All of it may be left out; the wrapper ``./rax`` needs ``[deployment]``.
"""

import dataclasses
import tomllib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from rax.checking._reading import UnreadableError, read_file
from rax.config._files import near
from rax.errors import CommandError

NAME = "rax.toml"
# More than Airflow itself gives to a file, whose dagbag_import_timeout is 30 s.
MAX_PARSE_SECONDS = 300.0
# More than any case of a workflow with a few rows.
MAX_CASE_SECONDS = 86_400.0
# More than any machine has: 16 TiB.
MAX_MEMORY_MIB = 16.0 * 2**20
# What a table of settings holds, in words.
_KINDS = {
    str: "a text",
    bool: "true or false",
    float: "a number",
    tuple: 'a table of names and reasons, such as {genes_daily = "it is another team\'s"}',
}


@dataclasses.dataclass(frozen=True)
class Flows:
    """What ``rax.toml`` says of functional tests."""

    # Whether what a workflow lacks of them is a reason to refuse the commit.
    required: bool = False
    # How long a case may take with all its runs.
    max_seconds: float = 600.0
    # How much memory all its processes may use together, and its PostgreSQL again, in MiB.
    max_memory_mib: float = 2048.0
    # The workflows that need none, and why.
    unverified: tuple[tuple[str, str], ...] = ()
    # The credential of the cluster that rax flow --target runs cases on.
    target: str = "AIRFLOW-STAGING-01"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What ``rax.toml`` says, or the defaults."""

    # Where the deployment repository is, which has the nodes' packages, and which tag or commit
    # of it counts; nothing where the file does not say so.
    repository: str = ""
    ref: str = ""
    # Which of its locks.
    python: str = ""
    # Below the root, as in dag_sync_dags_folder; "." is the root.
    dags_folder: str = "dags"
    # Whether a DAG need not be a workflow that ends in a summary.
    plain_dags: bool = False
    # The file with the names of credentials, one per line; it may be missing.
    credentials: str = "credentials.txt"
    # Processor time that a DAG file may take to be loaded.
    max_parse_seconds: float = 2.0
    flows: Flows = Flows()

    @classmethod
    def read(cls, root: Path) -> "Settings":
        """Read the settings of the repository in this folder.

        :raises CommandError: the file is not TOML, or says what it cannot say: with the key
        """
        try:
            tables = tomllib.loads(read_file(root.resolve(), NAME).decode())
        except FileNotFoundError:
            return cls()
        except UnreadableError as error:
            raise CommandError(f"{NAME}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{NAME}: is not TOML: {error}") from None
        return cls(**_values(tables))


_CHECK = ("dags_folder", "plain_dags", "credentials", "max_parse_seconds")
_TABLES: dict[str, tuple[type[Settings] | type[Flows], tuple[str, ...]]] = {
    "deployment": (Settings, ("repository", "ref", "python")),
    "check": (Settings, _CHECK),
    "flows": (Flows, tuple(field.name for field in dataclasses.fields(Flows))),
}
_MAXIMA = {
    "max_parse_seconds": MAX_PARSE_SECONDS,
    "max_seconds": MAX_CASE_SECONDS,
    "max_memory_mib": MAX_MEMORY_MIB,
}


def _values(tables: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for table, keys in tables.items():
        if table not in _TABLES:
            raise CommandError(f"{NAME}: {table!r} is unknown{near(table, _TABLES)}")
        if not isinstance(keys, dict):
            raise CommandError(f"{NAME}: {table} has to be a table, [{table}]")
        owner, known = _TABLES[table]
        found = {key: _value(owner, table, known, key, value) for key, value in keys.items()}
        values |= found if owner is Settings else {table: owner(**found)}
    return values


def _value(
    owner: type[Settings] | type[Flows], table: str, known: Collection[str], key: str, value: Any
) -> Any:
    if key not in known:
        raise CommandError(f"{NAME}: [{table}] {key!r} is unknown{near(key, known)}")
    kind = next(type(one.default) for one in dataclasses.fields(owner) if one.name == key)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif kind is tuple and isinstance(value, dict):
        value = tuple(sorted(value.items()))
    if not isinstance(value, kind):
        raise CommandError(f"{NAME}: [{table}] {key} has to be {_KINDS[kind]}")
    if problem := _problem(key, value):
        raise CommandError(f"{NAME}: [{table}] {key} {problem}")
    return value


def _problem(key: str, value: Any) -> str:
    """Say what is wrong with a value of the right type, if anything is."""
    if isinstance(value, str):
        if not value or not value.isprintable():
            return "is empty, or has a character that cannot be printed"
        if key in ("dags_folder", "credentials"):
            path = PurePosixPath(value)
            if path.is_absolute() or ".." in path.parts:
                return f"is {value!r}, and has to be a path below this folder"
    elif isinstance(value, float) and not 0 < value <= _MAXIMA[key]:
        return f"is {value:g}, and has to be more than 0 and at most {_MAXIMA[key]:g}"
    elif isinstance(value, tuple):
        for name, reason in value:
            if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
                return f"has to give the reason for {name}, as a text in one line"
    return ""
