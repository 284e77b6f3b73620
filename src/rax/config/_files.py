# SPDX-License-Identifier: Apache-2.0
"""The files of configs: the roots that they are in, and reading them without leaving these."""

import errno
import functools
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rax._file_identity import Identity, identity, is_settled
from rax.errors import ConfigNotFoundError, MalformedConfigError

SUFFIX = ".yaml"

PUBLISHED = Path("/home/airflow/airflow-git-dir")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*")
# How often to open a file that is being replaced.
_MAX_ATTEMPTS = 5
_REPLACED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class File(NamedTuple):
    """What a file held, and when it has to be read again."""

    content: bytes
    # None if the file changed so recently that a further change might not show.
    identity: Identity | None


def check_name(name: str) -> None:
    """Raise ConfigNotFoundError for what is not a dotted name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigNotFoundError(
            f"{name!r} is not the name of a config: folders and file are joined by dots, "
            "as in 'folder1.folder2.config_name'"
        )


def roots(named: str | None, release: str | None) -> list[Path]:
    """Return the folders to look in, given RAX_CONFIG_DIR and RAX_RELEASE_DIR."""
    if named:
        found = [Path(root) for root in named.split(os.pathsep) if root]
        if not found:
            raise ConfigNotFoundError(f"RAX_CONFIG_DIR is {named!r}, and names no folder")
        return found
    return [Path(release, "configs")] if release else [published()]


@functools.cache
def published() -> Path:
    """Resolve the link once, so that a process never sees files of two releases."""
    try:
        return PUBLISHED.resolve(strict=True) / "configs"
    except OSError:
        raise ConfigNotFoundError(
            f"{PUBLISHED} does not exist on this machine: "
            "set RAX_CONFIG_DIR to the folder 'configs' of your checkout"
        ) from None


def path_of(root: Path, name: str) -> Path:
    """Return the file of a config in a root."""
    return root.joinpath(*name.split(".")).with_suffix(SUFFIX)


def read(path: Path, root: Path) -> File | None:
    """Read a file, and return None where there is none.

    Raises MalformedConfigError for a file that cannot be read, is not a regular one or is outside
    of the root.
    """
    problem = ""
    for _attempt in range(_MAX_ATTEMPTS):
        try:
            descriptor = _open(path, root)
        except OSError as error:
            if error.errno not in _REPLACED:
                problem = str(error.strerror)
                break
            if not os.path.lexists(path):
                return None
            # A file that is being replaced is there at the next attempt.
            problem = "is a link that leads nowhere" if path.is_symlink() else "keeps changing"
            continue
        try:
            status, now = os.fstat(descriptor), time.time_ns()
            if not stat.S_ISREG(status.st_mode):
                problem = "is not a regular file"
                break
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
            return File(content, identity(status) if is_settled(status, now) else None)
        finally:
            os.close(descriptor)
    raise MalformedConfigError(f"{path}: {problem}")


def names(roots: Iterable[Path]) -> list[str]:
    """Return the names of all configs in these roots, sorted."""
    found = {
        path.relative_to(root).as_posix().removesuffix(SUFFIX)
        for root in roots
        for path in root.rglob(f"*{SUFFIX}")
    }
    # A dot in a name stands for a folder, so no name leads to a file that has a dot in its own.
    dotted = (path.replace("/", ".") for path in found if "." not in path)
    return sorted(filter(_NAME.fullmatch, dotted))


def explain_missing(name: str, roots: list[Path]) -> str:
    """Say what one may have meant by a name that no root has."""
    absent = [str(root) for root in roots if not root.is_dir()]
    if len(absent) == len(roots):
        return f" (there is no folder {' or '.join(absent)})"
    for root in roots:
        other = path_of(root, name).with_suffix(".yml")
        if other.exists():
            return f": {other} has to end in {SUFFIX}"
        for path in root.rglob(f"*{SUFFIX}"):
            if path.relative_to(root).as_posix().replace("/", ".") == f"{name}{SUFFIX}":
                return f": {path} has to be {path_of(root, name)}"
    return near(name, names(roots))


def near(name: str, names: Iterable[str]) -> str:
    """Say which names look like this one, if any do."""
    import difflib

    found = difflib.get_close_matches(name, sorted(names), n=3)
    return f": did you mean {' or '.join(found)}?" if found else ""


def _open(path: Path, root: Path) -> int:
    """Open the file that the path leads to, one folder after the other, from the root.

    None of these steps follows a link: one that is put there meanwhile leads nowhere.
    """
    top = _resolve(root)
    # Resolved from the top, since the root may be, or become, a link to another release.
    resolved = _resolve(top / path.relative_to(root))
    if not resolved.is_relative_to(top):
        raise MalformedConfigError(f"{path}: is a link that leads out of {root}")
    *folders, file = resolved.relative_to(top).parts or (".",)
    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for name in folders:
            below = os.open(name, flags | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = below
        # Without O_NONBLOCK, opening a FIFO would wait for its writer.
        return os.open(file, flags | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _resolve(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except RuntimeError:
        # Python 3.11 and 3.12 raise it for links in a circle.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
