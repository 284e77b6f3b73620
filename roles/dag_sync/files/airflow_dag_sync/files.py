# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks, temporary names, and names that have to reach the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from airflow_dag_sync.errors import BusyError

TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


@contextlib.contextmanager
def locked(file: Path, deadline: float) -> Iterator[None]:
    """Hold a lock, which goes with this process; wait for it until the deadline."""
    with file.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BusyError("another run is at work") from None
                time.sleep(0.1)
        yield


def temporary(directory: Path, prefix: str = "") -> Path:
    """Make up a name that `clear_temporary` finds."""
    return directory / f"{prefix}.{os.urandom(8).hex()}.tmp"


def clear_temporary(directory: Path, prefix: str = "") -> None:
    """Remove everything temporary in a directory; what resists is left to the next run."""
    for path in directory.iterdir():
        name = path.name
        if name.startswith(prefix) and TEMPORARY.fullmatch(name[len(prefix) :]):
            with contextlib.suppress(OSError):
                remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        import shutil  # It is slow to load, and seldom needed.

        # A folder that cannot be read or written cannot be emptied.
        path.chmod(0o700)
        for where, folders, _files in os.walk(path):
            for inner in (Path(where, name) for name in folders):
                if not inner.is_symlink():
                    inner.chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink()


def fsync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
