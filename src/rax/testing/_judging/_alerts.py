# SPDX-License-Identifier: Apache-2.0
"""The events that PagerDuty would have got, beside those that were expected."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from rax.testing._judging import _values
from rax.testing._judging._difference import Kind
from rax.testing._judging._tasks import Runs, Told
from rax.testing._judging._texts import bounded
from rax.testing._model import AlertExpectation

_NONE = "no event"


def of_alerts(runs: Runs) -> Iterator[Told]:
    """Compare the events, in their order."""
    expected, found = runs.expected.alerts, runs.output.alerts
    if expected is None:
        return
    for number, (wanted, event) in enumerate(zip_longest(expected, found), 1):
        subject = "alerts" if max(len(expected), len(found)) == 1 else f"alerts, {number}."
        place = wanted.place if wanted else runs.expected.place
        if wanted is None or event is None or wanted.action != event.get("event_action"):
            text = f"{_wanted(wanted)} → {_event(event)}"
            yield Told(place, subject, (text,), Kind.ALERTS)
        elif lines := _differing(wanted, event):
            yield Told(place, subject, (lines[0], *bounded(lines[1:])), Kind.ALERTS)


def _differing(wanted: AlertExpectation, event: Mapping[str, Any]) -> list[str]:
    told = [] if wanted.text in _summary(event) else [f"{_wanted(wanted)} → {_event(event)}"]
    # PagerDuty has some of an event's fields one level below the others; no name is there twice.
    fields = {**event, **(event.get("payload") or {})}
    return told + _values.differing(wanted.fields, fields)


def _wanted(alert: AlertExpectation | None) -> str:
    return _shown(alert.action, alert.text) if alert else _NONE


def _event(event: Mapping[str, Any] | None) -> str:
    return _shown(f"{event.get('event_action')}", _summary(event)) if event else _NONE


def _shown(action: str, text: str) -> str:
    return f"{action}: {text}" if text else action


def _summary(event: Mapping[str, Any]) -> str:
    return f"{(event.get('payload') or {}).get('summary', '')}"
