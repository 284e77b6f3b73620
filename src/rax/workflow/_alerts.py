# SPDX-License-Identifier: Apache-2.0
"""The one incident of a workflow and an environment: what opens it, adds to it and closes it."""

import logging
import time
from collections.abc import Callable, Mapping

from rax import alerting
from rax.workflow._summary import Summary

log = logging.getLogger("rax.workflow")

# In one process, for all of its alerts: Airflow ends a task's that takes longer than the 20 seconds
# of [core] task_success_overtime after its work, and the DAG processor one that has not told of all
# its failed checks within the 50 of [core] dag_file_processor_timeout. What is not sent by then is
# spooled, and cron sends it within a minute.
MAX_SEND_SECONDS = 10.0
# An alert is not begun to be sent with less.
MIN_SEND_SECONDS = 1.0
# The scheduler stands still for as long, with each run that failed while no disk took its alert.
UNSPOOLED_SECONDS = 2.0

_spent_seconds = 0.0


def run_failed(summary: Summary, *, is_to_wait: bool = False) -> alerting.State:
    """Open the incident with all that is known of the run, or add to it; return what came of it.

    An alert that is to wait is left to cron, unless no disk takes it.
    """
    details = {
        "workflow": summary.workflow,
        "environment": summary.environment,
        "run_id": summary.run_id,
        "run": summary.url,
        "release": summary.release,
        "release_url": summary.release_url,
        "failures": summary.reasons[:20],
        "report": str(summary),
        "details": summary.details,
    }
    state = _trigger(summary.workflow, summary.headline(), details, 0 if is_to_wait else None)
    if state == "lost" and is_to_wait:
        state = _trigger(summary.workflow, summary.headline(), details, UNSPOOLED_SECONDS)
    return state


def check_failed(
    workflow: str, check: str, reason: str, details: Mapping[str, object]
) -> alerting.State:
    """Open the incident at once, and return what came of it."""
    headline = f"{workflow} ({details['environment']}) failed: check {check}: {reason}"
    return _trigger(workflow, headline, {"workflow": workflow, **details})


def run_succeeded(workflow: str) -> None:
    """Close the incident, if one is open."""
    _attempt(lambda limit: alerting.resolve(alerting.dedup_key(workflow), limit=limit))


def environment() -> str:
    """Return the environment that the keys of incidents have."""
    return alerting.dedup_key("").rstrip("/")


def _trigger(
    workflow: str, headline: str, details: Mapping[str, object], limit: float | None = None
) -> alerting.State:
    """Send it within so many seconds, or what this process has left."""
    urls = {"The run in Airflow": details["run"], "The release": details["release_url"]}
    links = {text: str(url) for text, url in urls.items() if str(url).startswith("https://")}
    key = alerting.dedup_key(workflow)
    return _attempt(
        lambda left: alerting.trigger(
            headline,
            "error",
            None,
            details,
            key,
            links=links or None,
            limit=left if limit is None else limit,
        )
    )


def _attempt(send: Callable[[float], alerting.Outcome]) -> alerting.State:
    global _spent_seconds
    left = MAX_SEND_SECONDS - _spent_seconds
    begun = time.monotonic()
    try:
        return send(left if left >= MIN_SEND_SECONDS else 0).state
    except Exception:
        # rax.alerting promises not to raise, but no task's outcome is to depend on that.
        log.exception("The alert was not sent")
        return "lost"
    finally:
        _spent_seconds += time.monotonic() - begun
