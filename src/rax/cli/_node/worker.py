# SPDX-License-Identifier: Apache-2.0
"""The guard of a worker, which takes no tasks where they could only fail."""

from pathlib import Path

from rax.cli._node._part import ABSENT, Part, Problem
from rax.cli._node._status_files import read_object

GUARD = Path("/run/airflow-worker/guard.json")


def worker() -> Part:
    """Read why the worker takes no tasks, if it does not."""
    try:
        told = read_object(GUARD)
    except ValueError as error:
        return Part(None, [], [Problem("worker", "unanswered", str(error))])
    if told is None:
        return ABSENT
    paused, since = told.get("paused"), told.get("since")
    found = {"paused": paused, "since": since}
    if not paused:
        return Part(found, ["takes tasks"], [])
    problem = f"it takes no tasks since {since}: {paused}"
    return Part(found, [problem], [Problem("worker", "worker-paused", problem)])
