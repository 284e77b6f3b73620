# SPDX-License-Identifier: Apache-2.0
"""Keep a folder of logs within a size: the oldest files go first, and none that is being written.

Tasks of authors can write to this folder. It is walked by open directories and without following a
link, on one file system, so that nothing outside of it is reached, and what is in it costs no more
memory for a million files than for ten. Directories stay: somebody may be about to write into them;
systemd-tmpfiles removes those that are old.
"""

import fcntl
import os
import signal
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Files are told apart by the hour of their last change.
_BUCKET_SECONDS = 3600
# Airflow's own are six deep; each level takes an open file.
MAX_DEPTH = 100


@dataclass(frozen=True)
class Kept:
    """What became of the logs: the bytes removed, and those beyond the limit that are in use."""

    removed: int = 0
    excess: int = 0


@dataclass(frozen=True)
class _Log:
    folder: int
    name: str
    bucket: int
    size: int


def limit_logs(folder: str, percent: int) -> Kept:
    """Remove the oldest files until the folder takes no more than its share of its file system.

    The share is in percent of the size of the file system. Raises OSError where the folder itself
    can't be read.
    """
    system = os.statvfs(folder)
    limit = system.f_blocks * system.f_frsize * percent // 100
    # Where the whole file system holds less, nobody need look at each file.
    if (system.f_blocks - system.f_bfree) * system.f_frsize <= limit:
        return Kept()
    return remove_oldest(folder, limit)


def remove_oldest(folder: str, limit: int) -> Kept:
    """Remove the oldest files until those that stay take at most ``limit`` bytes on the disk."""
    sizes: Counter[int] = Counter()
    with _opened(folder) as top:
        for log in _logs(top):
            sizes[log.bucket] += log.size
        before = left = sizes.total()
        while left > limit and sizes:
            # The oldest hours that take what is too much. What is in use there calls for another
            # round, of later hours.
            hours, excess = set(), left - limit
            for hour in sorted(sizes):
                if excess <= 0:
                    break
                hours.add(hour)
                excess -= sizes.pop(hour)
            for log in _logs(top):
                if left <= limit:
                    break
                if log.bucket in hours and _remove_unless_written(log):
                    left -= log.size
    return Kept(before - left, max(0, left - limit))


@contextmanager
def _opened(name: str, parent: int | None = None) -> Iterator[int]:
    folder = os.open(
        name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
    )
    try:
        yield folder
    finally:
        os.close(folder)


def _logs(folder: int, depth: int = 0) -> Iterator[_Log]:
    """Yield the regular files below an open directory."""
    device = os.fstat(folder).st_dev
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode) and state.st_dev == device and depth < MAX_DEPTH:
                    with _opened(entry.name, folder) as inner:
                        yield from _logs(inner, depth + 1)
                # One with another name elsewhere frees nothing, and is not this folder's alone.
                elif stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
                    yield _Log(
                        folder,
                        entry.name,
                        int(state.st_mtime // _BUCKET_SECONDS),
                        state.st_blocks * 512,
                    )
            except OSError:
                # It is gone by now, or another account's.
                continue


def _remove_unless_written(log: _Log) -> bool:
    """Remove the file unless a process has it open to write, and return whether it is gone.

    The kernel grants the lease of a reader only where nobody writes. It could not be found out
    otherwise: a process that writes a task's log hides what it has open, even from its own account.
    """
    # Who opens the file meanwhile waits, and this process is told by a signal that would end it.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        file = os.open(
            log.name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            dir_fd=log.folder,
        )
    except OSError:
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        os.unlink(log.name, dir_fd=log.folder)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)
