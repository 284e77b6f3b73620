# SPDX-License-Identifier: Apache-2.0
"""Processes that serve a case, and end when the case does, however that ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from rax.testing._services._account import Account

# prctl(2) and unshare(2). Other systems lack them: there, what serves a case that is killed stays.
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWIPC: Final = 0x8000000
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
MAX_STOP_SECONDS = 10.0


def start(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: IO[bytes],
    account: Account | None = None,
    last_signal: signal.Signals | None = signal.SIGKILL,
    stdin: int = subprocess.DEVNULL,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, where a signal to the case's group misses it.

    :param last_signal: what the program gets when the thread that calls this has ended, None to let
        it live on
    :param account: root starts it as this one
    """
    parent = os.getpid()

    def prepare() -> None:
        if _libc is not None:
            # Where the kernel allows it, shared memory of its own, which nothing can leave behind:
            # PostgreSQL that is killed could not remove a segment of System V.
            _libc.unshare(_CLONE_NEWIPC)
        if account is not None:
            os.setgroups(())
            os.setgid(account.gid)
            os.setuid(account.uid)
        if last_signal is not None and _libc is not None:
            # A change of the account would undo it.
            _libc.prctl(_PR_SET_PDEATHSIG, int(last_signal))
            if os.getppid() != parent:
                os._exit(1)

    process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - programs of PostgreSQL, and this Python
        list(map(str, command)),
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=prepare,
        pass_fds=descriptors,
    )
    return process


def as_account(account: Account | None) -> dict[str, Any]:
    """Return the arguments by which ``subprocess`` starts a program as another account."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": ()}


def stop(process: subprocess.Popen[bytes], first: signal.Signals) -> None:
    """End a process that ``start`` has started, and wait until it has ended."""
    if process.poll() is None:
        process.send_signal(first)
    try:
        process.wait(MAX_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def plain_environment() -> dict[str, str]:
    """Return an environment for programs that serve a case: nothing of a person's settings."""
    return {
        "PATH": os.environ.get("PATH") or os.defpath,
        "LC_ALL": "C",
        "TZ": "UTC",
        "PGTZ": "UTC",
        "PGCLIENTENCODING": "UTF8",
    }
