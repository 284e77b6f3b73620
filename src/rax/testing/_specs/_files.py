# SPDX-License-Identifier: Apache-2.0
"""The files that a spec names: beside it, and never out of the folder of specs."""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from rax.config._files import near
from rax.testing._specs._document import Value

FOLDER = "tests/flows"
SUFFIX = ".flow.yaml"
# The word for a file that is not there; a file of this name is ./absent.
ABSENT = "absent"


def given(value: Value, top: Path) -> Path | None:
    """Return the file that a value names and that is there; None after a mistake."""
    return _there(value, top, Path.is_file, "file")


def folder(value: Value, top: Path) -> Path | None:
    """Return the folder that a value names and that is there; None after a mistake."""
    path = _there(value, top, Path.is_dir, "folder")
    if path is not None:
        for inner in path.rglob("*"):
            if inner.is_symlink() and not _is_inside(inner, top):
                value.refuse(f"{inner.relative_to(path)} in {value.content} leads out of {FOLDER}")
                return None
    return path


def golden(value: Value, top: Path) -> Path | None:
    """Return the file that a value names, which may be written yet; None after a mistake."""
    path = _beside(value, top)
    if path is None:
        return None
    if path.name.endswith(SUFFIX):
        value.refuse(f"{value.content} is a spec, and no golden")
    elif os.path.lexists(path) and not path.is_file():
        value.refuse(f"{value.content} is not a file")
    else:
        return path
    return None


def check_name(value: Value, name: str) -> bool:
    """Note a mistake where a path is none below the folder that a case has."""
    problem = _problem(name)
    if problem:
        value.refuse(f"{name!r} {problem}: a path below the folder of the case is expected")
    return not problem


def _there(value: Value, top: Path, is_there: Callable[[Path], bool], what: str) -> Path | None:
    path = _beside(value, top)
    if path is None or is_there(path):
        return path
    if os.path.lexists(path):
        value.refuse(f"{value.content} is not a {what}")
    else:
        hint = near(path.name, _names(path.parent))
        value.refuse(f"there is no {what} {value.content} beside the spec{hint}")
    return None


def _names(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir()] if parent.is_dir() else []


def _beside(value: Value, top: Path) -> Path | None:
    """Return the path beside the spec that a value names, if it is inside the folder of specs."""
    name = value.content
    problem = _problem(name)
    path = value.document.file.parent / name if not problem else None
    if path is not None and not _is_inside(path, top):
        problem = f"leads out of {FOLDER}"
    if problem:
        value.refuse(f"{name!r} {problem}: a path beside the spec is expected")
        return None
    return path


def _problem(name: str) -> str:
    """Say why a text is no path below a folder; nothing if it is one."""
    if "\0" in name or not name.isprintable():
        return "has a character that no path has"
    if "\\" in name:
        return "has a \\, where / is between folders"
    path = PurePosixPath(name)
    if path.is_absolute() or name.startswith("~"):
        return "begins at the root" if path.is_absolute() else "begins with ~"
    if ".." in path.parts:
        return "has a .."
    return "" if path.parts else "names no file"


def _is_inside(path: Path, top: Path) -> bool:
    try:
        return path.resolve().is_relative_to(top.resolve())
    except (OSError, RuntimeError, ValueError):
        # Links in a circle lead nowhere, and a name may be too long.
        return False
