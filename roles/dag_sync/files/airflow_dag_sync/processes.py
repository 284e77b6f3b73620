# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs: run in limited time, and ended with this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Deadline:
    """The time that a whole run may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.at - time.monotonic()

    @contextlib.contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Give what is done meanwhile no more than so many of the seconds that are left."""
        whole, self.at = self.at, min(self.at, time.monotonic() + seconds)
        try:
            yield
        finally:
            self.at = whole

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out of the account what takes its time under a limit of its own."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.at += time.monotonic() - began


def execute(
    command: Iterable[str],
    *,
    environment: dict[str, str],
    seconds: float,
    cwd: str | Path = "/",
    stdin: str = "",
    output: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends, with all that it started, when this program ends, however it does.

    Raises TimeoutExpired. An output other than a pipe takes its errors too.
    """
    process = subprocess.Popen(  # noqa: S603 - no shell; from checked settings
        # kill -9 of this program leaves it no time to end its child: the kernel does.
        ["setpriv", "--pdeathsig", "KILL", *command],  # noqa: S607 - cron sets PATH
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE if output == subprocess.PIPE else subprocess.STDOUT,
        env=environment,
        cwd=cwd,
        start_new_session=True,
        encoding="utf-8",
        # Names of files are bytes.
        errors="surrogateescape",
    )
    try:
        told, errors = process.communicate(stdin or None, timeout=max(0, seconds))
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(process.args, process.returncode, told, errors)


@contextlib.contextmanager
def children_ended() -> Iterator[None]:
    """End, after all, also those processes that a command has started in sessions of their own."""
    import ctypes  # It is slow to load, and seldom needed.

    # What loses its parent becomes a child of this process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        with contextlib.suppress(ChildProcessError):
            while True:
                for pid in children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os.waitpid(-1, 0)


def children() -> Iterator[int]:
    """List the processes that this one is the parent of."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before may hold anything, blanks and brackets too.
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)
