# SPDX-License-Identifier: Apache-2.0
"""The files that a spec names: beside it, and never out of the folder of specs."""

import functools
import itertools
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from rax.config._files import near
from rax.testing._specs._document import Value
from rax.testing._specs._misfits import shown

FOLDER = "tests/flows"
SUFFIX = ".flow.yaml"
# The word for a file that is not there; a golden of this name is ./absent.
ABSENT = "absent"

_MAX_PATH_BYTES = 1000
_MAX_NAME_BYTES = 255
_MAX_SERVED_FILES = 10_000
_MAX_LOOKED_AT_FILES = 1000


_Look = Callable[[Value, Path], Path | None]


def _refused_when_it_fails(look: _Look) -> _Look:
    """Make what the system does not allow a mistake in the value, which names it."""

    @functools.wraps(look)
    def guarded(value: Value, top: Path) -> Path | None:
        try:
            return look(value, top)
        except OSError as error:
            value.refuse(f"{shown(value.content)}: {error.strerror}")
            return None

    return guarded


@_refused_when_it_fails
def given_file(value: Value, top: Path) -> Path | None:
    """Return the file that a value names and that is there; None after a mistake."""
    return _there(value, top, Path.is_file, "file")


@_refused_when_it_fails
def given_folder(value: Value, top: Path) -> Path | None:
    """Return the folder that a value names and that is there; None after a mistake."""
    folder = _there(value, top, Path.is_dir, "folder")
    if folder is None:
        return None
    for number, inner in enumerate(folder.rglob("*"), start=1):
        if number > _MAX_SERVED_FILES:
            value.refuse(f"{shown(value.content)} has more than {_MAX_SERVED_FILES:,} files")
            return None
        if inner.is_symlink() and not _is_inside(inner, top):
            name = shown(inner.relative_to(folder).as_posix())
            value.refuse(f"{name} leads out of the folder {top.name}")
            return None
    return folder


@_refused_when_it_fails
def golden(value: Value, top: Path) -> Path | None:
    """Return the file that a value names, which may not be written yet; None after a mistake."""
    path = _beside(value, top)
    if path is None:
        return None
    if path.name.endswith(SUFFIX):
        value.refuse(f"{shown(value.content)} is a spec, and no golden")
    elif os.path.lexists(path) and not path.is_file():
        value.refuse(f"{shown(value.content)} is not a file")
    else:
        return path
    return None


def case_path(value: Value, name: str) -> str | None:
    """Return the plain form of a path below a case's folder; None after a mistake."""
    if problem := _problem(name):
        value.refuse(f"{shown(name)} {problem}: a path below the case's folder is expected")
        return None
    return str(PurePosixPath(name))


def _there(value: Value, top: Path, is_there: Callable[[Path], bool], what: str) -> Path | None:
    path = _beside(value, top)
    if path is None:
        return None
    if is_there(path):
        if os.access(path, os.R_OK):
            return path
        value.refuse(f"{shown(value.content)} cannot be read by this account")
    elif os.path.lexists(path):
        value.refuse(f"{shown(value.content)} is not a {what}")
    else:
        hint = _hint(path, value.document.file.parent)
        value.refuse(f"there is no {what} {shown(value.content)} beside the spec{hint}")
    return None


def _hint(path: Path, folder: Path) -> str:
    """Say which file of a folder, or of one inside it, is meant by one that is not there."""
    inside = itertools.islice(folder.rglob("*"), _MAX_LOOKED_AT_FILES)
    names = [inner.relative_to(folder).as_posix() for inner in inside]
    same = [name for name in names if name.rpartition("/")[2] == path.name]
    return near(same[0], same) if same else near(path.relative_to(folder).as_posix(), names)


def _beside(value: Value, top: Path) -> Path | None:
    """Return the path beside the spec that a value names, if it is inside the folder of specs."""
    problem = _problem(value.content)
    path: Path = value.document.file.parent / value.content
    if not problem and not _is_inside(path, top):
        problem = f"leads out of the folder {top.name}"
    if problem:
        value.refuse(f"{shown(value.content)} {problem}: a path beside the spec is expected")
        return None
    return path


def _problem(name: str) -> str:
    """Say why a text is no path below a folder; nothing if it is one."""
    if not name.isprintable():
        return "has a character that is none of a name"
    path = PurePosixPath(name)
    if path.is_absolute():
        return "begins at the root"
    if ".." in path.parts:
        return "has a .."
    if not path.parts:
        return "names no file"
    sizes = [len(part.encode()) for part in path.parts]
    if max(sizes) > _MAX_NAME_BYTES or len(name.encode()) > _MAX_PATH_BYTES:
        return "is too long"
    return ""


def _is_inside(path: Path, top: Path) -> bool:
    # Of links in a circle Path.resolve() says other things in other versions of Python.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top))
