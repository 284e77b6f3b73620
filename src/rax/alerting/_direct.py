# SPDX-License-Identifier: Apache-2.0
"""An event that goes to PagerDuty past the spool, as it is given or not at all."""

from collections.abc import Mapping
from typing import get_args

from rax.alerting._deadline import Deadline, run_within
from rax.alerting._events import Event, Severity, resolve_event, trigger_event, wrong_severity
from rax.alerting._pagerduty import connect, credential_name
from rax.errors import AlertError


def deliver(
    action: str,
    dedup_key: str,
    summary: str,
    severity: str,
    source: str | None,
    details: Mapping[str, object] | None,
    limit: float,
) -> None:
    """Send an event within so many seconds; an AlertError says why it was not sent."""
    if action not in ("trigger", "resolve"):
        raise AlertError(f"the action of an alert is trigger or resolve, not {action!r}")
    if not dedup_key.strip():
        raise AlertError("an alert needs a dedup_key")
    if action == "trigger":
        if severity not in get_args(Severity):
            raise AlertError(wrong_severity(severity))
        for name, text in (("summary", summary), ("source", source)):
            if text is not None and not text.strip():
                raise AlertError(f"an alert needs a {name}")

    def make() -> Event:
        if action == "resolve":
            return resolve_event(dedup_key)
        return trigger_event(summary, severity, source, details, dedup_key)[0]

    problems = []

    def work(deadline: Deadline) -> None:
        problem = ""
        try:
            event = make()
            with connect(credential_name(), deadline) as client:
                client.send(event)
        except AlertError as error:
            problem = str(error)
        except BaseException as error:
            problem = f"unexpected {type(error).__name__}"
        problems.append(problem)

    late = run_within(limit, work)
    if problem := problems[0] if problems else str(late):
        raise AlertError(f"PagerDuty did not take the {action} of {dedup_key!r}: {problem}")
