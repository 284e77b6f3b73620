# SPDX-License-Identifier: Apache-2.0
"""Why a task ended that could not say so itself, noted for it by who has seen it end.

A task's process notes its own errors (``_callbacks``). Where it cannot, the alert would only know
that the task is failed. What else is known is noted in its place, in the XCom of the same name:

- by the scheduler, that no heartbeat came any more, or what the executor said of it, and by the API
  server, that a person has marked it as failed (``plugin``);
- by the supervisor on the worker, the signal or the exit code that ended its process
  (``coordinator``).

Only names of hosts, times and Airflow's own words are in it.
"""

import contextlib
import datetime
import re
import signal
from typing import Any

from rax.airflow._outcomes import FOREIGN, map_index
from rax.workflow._text import reason

# What Airflow says of a task that a person marks as failed, in the API server.
_BY_HAND = "state was manually set"
# In what the scheduler says of a task whose heartbeats ended: for the database, it still runs.
_RAN = "state attribute is running"
# The end of what the scheduler says of a task that is not where its executor left it.
_EXTRA_INFO = " Extra info: "
_LEARN_MORE = re.compile(r"\s*Learn more: \S+")


def why_failed(ti: Any, error: str) -> str:
    """Return what is known in the scheduler or the API server, or nothing."""
    if _BY_HAND in error:
        return "was marked as failed by hand"
    said, _mark, extra = error.partition(_EXTRA_INFO)
    if extra.strip():
        # Of a traceback, the last line has the error.
        return reason(f"could not be run: {extra.strip().splitlines()[-1].strip()}")
    seen = getattr(ti, "last_heartbeat_at", None)
    # One that was queued again has that of its try before.
    if seen is not None and _RAN in said:
        where = f" from {ti.hostname}" if ti.hostname else ""
        age = (datetime.datetime.now(datetime.UTC) - seen).total_seconds()
        return f"was lost: no heartbeat{where} since {seen:%H:%M:%S} UTC, for {age:.0f} s"
    return reason(_LEARN_MORE.sub("", said)) if said else ""


def note(ti: Any, why: str) -> dict[str, Any]:
    """Return a note in the place of a task's own."""
    return {
        "map_index": map_index(ti),
        "try_number": ti.try_number,
        "start": None,
        "end": datetime.datetime.now(datetime.UTC).isoformat(),
        "reason": why,
        FOREIGN: True,
    }


def is_own_failure(value: Any, try_number: int) -> bool:
    """Return whether a task itself noted, in this try, that it failed or has alerted."""
    return (
        isinstance(value, dict)
        and value.get("try_number") == try_number
        # As in the note of a task that succeeded, which somebody marks as failed.
        and "rows" not in value
        and not value.get(FOREIGN)
    )


def why_ended(code: int) -> str:
    """Return what the exit code of a task's process means, a signal as a negative number.

    >>> why_ended(-9)
    'was killed by SIGKILL, most likely for want of memory'
    >>> why_ended(-11), why_ended(1)
    ('was killed by SIGSEGV', 'could not be begun, or ended itself: exit code 1; see its log')
    """
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL, most likely for want of memory"
    with contextlib.suppress(ValueError):
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
    return f"could not be begun, or ended itself: exit code {code}; see its log"
