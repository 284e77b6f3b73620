# SPDX-License-Identifier: Apache-2.0
"""Which settings ruff will use for a file, and whether it may.

Ruff takes the settings of the nearest folder above a file that has some. Those of a repository
are an author's: they may not lead out of it, since ruff quotes what it cannot read.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from rax.checking._finding import Finding
from rax.checking._reading import UnreadableError, read_file

_RULE = "ruff-settings"
# In the order in which ruff looks for them in a folder.
_NAMES = (".ruff.toml", "ruff.toml", "pyproject.toml")
_AIRFLOW = "AIR"
_LINE = re.compile(r"\bline (\d+)")


class RuffSettings(NamedTuple):
    """The settings of some files."""

    # Relative to the root; None where the repository has none.
    file: str | None
    # Rules of Airflow that it does not want.
    ignored: tuple[str, ...] = ()
    # Whether it has asked for rules of Airflow itself.
    selects_airflow: bool = False
    # Why ruff must not use them, if so.
    problem: Finding | None = None
    warning: Finding | None = None


class _RefusedError(Exception):
    """Settings that ruff must not use: the finding."""

    def __init__(self, file: str, line: int, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.finding = Finding(file, line, _RULE, problem, advice)


def settings_of(root: Path, files: Iterable[str]) -> Iterator[tuple[RuffSettings, list[str]]]:
    """Yield each file of settings with the files that it is for; first those that have none."""
    nearest: dict[str, str | None] = {"": _in_folder(root, "")}
    groups: dict[str | None, list[str]] = {}
    for file in files:
        groups.setdefault(_nearest(root, _parent(file), nearest), []).append(file)
    for settings, group in sorted(groups.items(), key=lambda item: item[0] or ""):
        yield _looked_at(root, settings), group


def line_of(text: str) -> int:
    """Return the line that a message about a file of settings names, or 0."""
    found = _LINE.search(text)
    return int(found[1]) if found else 0


def _nearest(root: Path, folder: str, known: dict[str, str | None]) -> str | None:
    if folder not in known:
        found = _in_folder(root, folder)
        known[folder] = found or _nearest(root, _parent(folder), known)
    return known[folder]


def _parent(path: str) -> str:
    """Return the folder of a file or folder below the root; nothing for the root itself."""
    return path.rpartition("/")[0]


def _in_folder(root: Path, folder: str) -> str | None:
    for name in _NAMES:
        file = str(PurePosixPath(folder, name))
        if (root / file).is_file():
            try:
                if name != "pyproject.toml" or _of_pyproject(_tables(root, file)) is not None:
                    return file
            except _RefusedError:
                # Who uses it will say what is wrong.
                return file
    return None


def _looked_at(root: Path, file: str | None) -> RuffSettings:
    if file is None:
        return RuffSettings(None)
    ignored: set[str] = set()
    selects: list[Any] = []
    try:
        for tables in _chain(root, file):
            lint = tables.get("lint")
            for table in (tables, lint if isinstance(lint, dict) else {}):
                for key in ("ignore", "extend-ignore"):
                    ignored |= {code for code in _texts(table.get(key)) if code[:3] == _AIRFLOW}
                selects += [table[key] for key in ("select", "extend-select") if key in table]
    except _RefusedError as error:
        return RuffSettings(file, problem=error.finding)
    nothing = Finding(
        file, 0, _RULE, "selects no rules, so that ruff looks for nothing",
        "leave select out, or name rules, such as E, F and W", warning=True,
    )  # fmt: skip
    empty = bool(selects) and not any(selects)
    wanted = any(code.startswith((_AIRFLOW, "ALL")) for one in selects for code in _texts(one))
    return RuffSettings(file, tuple(sorted(ignored)), wanted, warning=nothing if empty else None)


def _chain(root: Path, file: str) -> Iterator[dict[str, Any]]:
    """Yield the settings of a file, and then of those that it extends."""
    seen: set[str] = set()
    while file not in seen:
        seen.add(file)
        tables = _tables(root, file)
        if PurePosixPath(file).name == "pyproject.toml":
            tables = _of_pyproject(tables) or {}
        yield tables
        extended = tables.get("extend")
        if not isinstance(extended, str):
            return
        inner = os.path.normpath(PurePosixPath(_parent(file), extended))
        # Ruff puts in what ~ and $ stand for.
        if extended.startswith("~") or "$" in extended or not _is_file_inside(root, inner):
            problem = f"extends {extended!r}, which is not in this repository"
            advice = "copy what it says: CI and others have no such file"
            raise _RefusedError(file, 0, problem, advice)
        file = inner


def _is_file_inside(root: Path, file: str) -> bool:
    try:
        path = (root / file).resolve()
        return path.is_relative_to(root) and path.is_file()
    except (OSError, RuntimeError):
        return False


def _tables(root: Path, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(read_file(root, file).decode())
    except FileNotFoundError:
        raise _RefusedError(file, 0, "is not there") from None
    except UnreadableError as error:
        raise _RefusedError(file, 0, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise _RefusedError(file, line_of(str(error)), f"is not TOML: {error}") from None


def _of_pyproject(tables: dict[str, Any]) -> dict[str, Any] | None:
    """Return the settings of ruff in a pyproject.toml, if it has some."""
    tool = tables.get("tool")
    found = tool.get("ruff") if isinstance(tool, dict) else None
    return found if isinstance(found, dict) else None


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
