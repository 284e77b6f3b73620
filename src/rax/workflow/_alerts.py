# SPDX-License-Identifier: Apache-2.0
"""The one incident of a workflow and an environment: what opens it, adds to it and closes it."""

import logging
from collections.abc import Callable, Mapping

from rax import alerting
from rax.workflow._summary import Summary

log = logging.getLogger("rax.workflow")

# Alerts are sent after the task's work, where Airflow ends a process that takes longer than the 20
# seconds of [core] task_success_overtime.
MAX_SEND_SECONDS = 10.0


def run_failed(summary: Summary) -> None:
    """Open the incident with all that is known of the run, or add to it."""
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
    _trigger(summary.workflow, summary.headline(), details)


def check_failed(workflow: str, check: str, reason: str, details: Mapping[str, object]) -> bool:
    """Open the incident at once, and return whether PagerDuty has it or will get it."""
    headline = f"{workflow} ({details['environment']}) failed: check {check}: {reason}"
    return _trigger(workflow, headline, {"workflow": workflow, **details})


def run_succeeded(workflow: str) -> None:
    """Close the incident, if one is open."""
    _attempt(lambda: alerting.resolve(alerting.dedup_key(workflow), limit=MAX_SEND_SECONDS))


def environment() -> str:
    """Return the environment that the keys of incidents have."""
    return alerting.dedup_key("").rstrip("/")


def _trigger(workflow: str, headline: str, details: Mapping[str, object]) -> bool:
    urls = {"The run in Airflow": details["run"], "The release": details["release_url"]}
    links = {text: str(url) for text, url in urls.items() if str(url).startswith("https://")}
    return _attempt(
        lambda: alerting.trigger(
            headline,
            "error",
            None,
            details,
            alerting.dedup_key(workflow),
            links=links or None,
            limit=MAX_SEND_SECONDS,
        )
    )


def _attempt(send: Callable[[], alerting.Outcome]) -> bool:
    try:
        return send().state in ("sent", "spooled")
    except Exception:
        # rax.alerting promises not to raise, but no task's outcome is to depend on that.
        log.exception("The alert was not sent")
        return False
