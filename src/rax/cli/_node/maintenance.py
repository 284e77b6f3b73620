# SPDX-License-Identifier: Apache-2.0
"""The clean-up of logs and database, where its timer is on this machine."""

import time
from datetime import datetime
from pathlib import Path

from rax.cli._node._part import ABSENT, Part, Problem, ago
from rax.cli._node._status_files import read_object
from rax.cli._node._units import Unit, units

_TIMER = "airflow-maintenance.timer"
_LOOK = "`journalctl -u airflow-maintenance`"
STATUS = Path("/var/lib/airflow-maintenance/status.json")
# It runs every day.
MAX_AGE_SECONDS = 2 * 86400


def maintenance() -> Part:
    """Look at the timer, and at what the last run has left."""
    found = units(_TIMER)
    if not found or not found[0].loaded:
        return ABSENT
    try:
        line, told = _last_run(found[0])
    except ValueError as error:
        line, told = "", [str(error)]
    if not found[0].active:
        told.append(f"{_TIMER} is {found[0].state}: nothing is cleaned up; start it")
    problems = [Problem("maintenance", "maintenance", f"{said}: {_LOOK}") for said in told[:1]]
    return Part({"timer": found[0].state}, [line] if line else [], problems)


def _last_run(timer: Unit) -> tuple[str, list[str]]:
    """Return a line on the last run, and what is wrong with it.

    :raises ValueError: its status is not of the form that it must have
    """
    status = read_object(STATUS)
    if status is None:
        waited = time.time() - (timer.active_since or time.time())
        late = ["it has never ended a run"] if waited > MAX_AGE_SECONDS else []
        return "no run yet", late
    ended, told = status.get("ended"), status.get("problems")
    if not isinstance(ended, str) or not isinstance(told, list):
        raise ValueError(f"{STATUS} is not of this version")
    seconds = datetime.fromisoformat(ended).timestamp()
    problems = [str(problem) for problem in told]
    if time.time() - seconds > MAX_AGE_SECONDS:
        problems.append(f"the last run ended {ago(seconds)}")
    return f"the last run ended {ago(seconds)}", problems
