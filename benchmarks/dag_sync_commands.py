# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands inside the node, each of the account that has to run it."""

import pwd
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.turns import WrongMeasureError

ACCOUNT, SERVER = "airflow", "git"
HOME, SERVED, PLACE = Path("/home/airflow"), Path("/srv/git"), Path("/etc/airflow")
GIT, PYTHON = "/usr/bin/git", "/usr/bin/python3"
PATH = "/usr/local/bin:/usr/bin:/bin"


def as_account(name: str) -> dict[str, Any]:
    """Return what makes a process that account's."""
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def run_as(
    account: str, command: Sequence[str], environment: Mapping[str, str], stdin: bytes = b""
) -> str:
    """Run a command that has to end well, and return what it printed."""
    done = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, check=False,
        **as_account(account),
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-500:]
        raise WrongMeasureError(f"{shlex.join(command)[:200]} ended with {done.returncode}: {said}")
    return str(done.stdout, "utf-8")


def timed(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return how long a command of the account took."""
    began = time.perf_counter()
    run_as(ACCOUNT, command, environment)
    return time.perf_counter() - began


# As cron gives it to a command.
PLAIN = {"PATH": PATH, "HOME": str(HOME), "LOGNAME": ACCOUNT, "SHELL": "/bin/sh"}
