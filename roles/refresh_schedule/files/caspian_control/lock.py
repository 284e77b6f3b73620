# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time, whoever started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from caspian_control.documents import ReportError
from caspian_control.text import complain


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock beside the state, so that two runs of this are one after the other."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, flags, 0o600)
    except OSError as error:
        # An alert without a memory is better than none.
        complain(f"goes on without a lock: {lock}: {error.strerror}")
        yield
        return
    try:
        deadline = time.monotonic() + seconds
        while not acquired(descriptor):
            if time.monotonic() > deadline:
                raise ReportError(f"another one has held {lock} for {seconds:g} s; gives up")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def acquired(descriptor: int) -> bool:
    """Try to get the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
