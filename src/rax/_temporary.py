# SPDX-License-Identifier: Apache-2.0
"""Temporary folders: each ends with the process that made it or, where that was killed, later.

Whoever uses a folder holds a lock on it, which ends with the process. The next one that makes a
folder for the same account removes those that nobody holds.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The account's number is in the name: those of others are not even opened.
_NAME = re.compile(r"rax-[a-z]+-(?P<uid>[0-9]+)-[a-z0-9_]{8}")


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Make a folder for this account alone, which is removed at the end.

    :param purpose: a word that its name has, so that a person knows it
    :raises OSError: it cannot be made
    """
    _sweep()
    folder, lock = _made(purpose)
    maker = os.getpid()
    try:
        yield folder
    finally:
        # A fork that ends leaves the folder to the process that made it.
        if os.getpid() == maker:
            remove(folder)
        os.close(lock)


def hold(folder: Path) -> int:
    """Return a descriptor as long as which, in this process or its forks, the folder stays.

    :raises FileNotFoundError: it is gone
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # Where the file system has no locks, nobody removes what another one holds.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        # It may have been removed while this waited for the lock.
        folder.stat()
    except BaseException:
        os.close(lock)
        raise
    return lock


def remove(folder: Path) -> None:
    """Remove a folder with all in it, also what nobody may enter; what is refused stays."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir():
        _open_up(folder)
        for path, names, _files in os.walk(folder):
            for name in names:
                _open_up(Path(path, name))
        shutil.rmtree(folder, ignore_errors=True)


def _open_up(folder: Path) -> None:
    if not folder.is_symlink():
        with contextlib.suppress(OSError):
            folder.chmod(stat.S_IRWXU)


def _made(purpose: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"rax-{purpose}-{os.geteuid()}-")).resolve()
        # Another process may sweep it away before it is held.
        with contextlib.suppress(FileNotFoundError):
            return folder, hold(folder)


def _sweep() -> None:
    """Remove the folders of this account that nobody holds."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found is not None and int(found["uid"]) == os.geteuid():
                with contextlib.suppress(OSError):
                    _remove_unheld(Path(entry.path))


def _remove_unheld(folder: Path) -> None:
    """Remove a folder of this account, unless somebody holds it.

    :raises OSError: somebody does, or it is no folder
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(folder)
    finally:
        os.close(lock)
