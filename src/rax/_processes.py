# SPDX-License-Identifier: Apache-2.0
"""The processes that an author's code leaves behind: they are found, and ended."""

import contextlib
import os
import signal
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans() -> None:
    """Become the parent of whatever children of this process leave, where the system can do that.

    It is for a process that has no other children than those that it may end.
    """
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> bool:
    """End all children; return whether there were any."""
    found = False
    with contextlib.suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            found = True
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    _kill(pid)
            os.waitpid(-1, 0)
    return found


def _kill(pid: int) -> None:
    # A group ends as a whole, so that none of it can fork once more.
    group = os.getpgid(pid)
    if group != os.getpgrp():
        os.killpg(group, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before may hold anything, blanks and brackets too.
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found
