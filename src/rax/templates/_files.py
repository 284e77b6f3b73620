# SPDX-License-Identifier: Apache-2.0
"""The files that a command writes: read from the templates, written all or none."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from string import Template
from typing import NamedTuple

from rax.errors import CommandError
from rax.templates import TEMPLATES

_FILLED = ".template"
# Where files are until all are complete; only one command at a time has it.
ASIDE = ".rax-new"


class NewFile(NamedTuple):
    """A file to write."""

    # Relative to the repository.
    path: PurePosixPath
    content: bytes
    executable: bool = False


def templates_in(folder: str, values: Mapping[str, str]) -> list[NewFile]:
    """Return the files of a folder of templates, filled with these values."""
    root = TEMPLATES / folder
    files = []
    for path in sorted(root.rglob("*")):
        if not path.is_dir():
            name = path.relative_to(root).as_posix().removesuffix(_FILLED)
            content = filled(path, values)
            # Not by the mode, which an archive between the deployment and here may have lost.
            files.append(NewFile(PurePosixPath(name), content, content.startswith(b"#!")))
    return files


def filled(path: Path, values: Mapping[str, str]) -> bytes:
    """Return the content of a template; one that has no ending ``.template`` is as it is."""
    content = path.read_bytes()
    if path.suffix != _FILLED:
        return content
    return Template(content.decode()).substitute(values).encode()


def in_the_way(root: Path, files: Sequence[NewFile]) -> list[str]:
    """Return the files that are there already, and what is where a folder of theirs has to be.

    :raises CommandError: a folder of theirs is a link that leads out of the repository
    """
    found: dict[str, None] = {}
    for file in files:
        for folder in reversed(file.path.parents[:-1]):
            here = root / folder
            if not os.path.lexists(here):
                break
            if not here.is_dir():
                found[str(folder)] = None
                break
            if not here.resolve().is_relative_to(root.resolve()):
                raise CommandError(f"{folder} is a link that leads out of {root}")
        else:
            if os.path.lexists(root / file.path):
                found[str(file.path)] = None
    return list(found)


def write_all(root: Path, files: Sequence[NewFile]) -> None:
    """Write the files, each as a whole and none over another; if one cannot be written, none is.

    What is killed halfway leaves whole files, and the folder ASIDE, which the next call removes.

    :param root: the repository, which is made with the folders above it
    :raises CommandError: one is there already, or another call is at work
    :raises OSError: one cannot be written
    """
    made: list[Path] = []
    try:
        _make_folder(root, made)
        with _staging(root) as aside:
            staged = [_stage(aside / str(number), file) for number, file in enumerate(files)]
            for path, file in zip(staged, files, strict=True):
                target = root / file.path
                _make_folder(target.parent, made)
                try:
                    # A rename would replace what somebody else has written in the meantime.
                    os.link(path, target)
                except FileExistsError:
                    raise CommandError(
                        f"{file.path} is there already: nothing is written"
                    ) from None
                made.append(target)
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note which were made."""
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)


@contextlib.contextmanager
def _staging(root: Path) -> Iterator[Path]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        aside = root / ASIDE
        if os.path.lexists(aside):
            # Of a call that was killed: none is at work now.
            shutil.rmtree(aside)
        aside.mkdir(0o700)
        try:
            yield aside
        finally:
            shutil.rmtree(aside)
    except BlockingIOError:
        raise CommandError(f"another rax new is at work in {root}") from None
    finally:
        os.close(descriptor)


def _stage(path: Path, file: NewFile) -> Path:
    mode = 0o777 if file.executable else 0o666
    # The umask of whoever asks counts, as for any file that they make.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as new:
        new.write(file.content)
    return path
