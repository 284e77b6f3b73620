# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: what is said of a failed run, and how it is sent to PagerDuty."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from caspian_refresh_report.outcome import Outcome
from caspian_refresh_report.state import State
from caspian_refresh_report.text import one_line

UNIT = "caspian-refresh"
# PagerDuty's limit.
MAX_SUMMARY_CHARACTERS = 1024
MAX_NAMES_IN_DETAILS = 100


def summary(outcome: Outcome, state: State, source: str) -> str:
    """Return what a person reads first: what failed, where, and where to look."""
    runs = f", {state.failures} runs in a row" if state.failures > 1 else ""
    ending = f'. See "journalctl -u {UNIT}" on {source}.'
    text = f"Credentials refresh on {source} failed{runs}: {'; '.join(outcome.problems)}"
    return one_line(text, MAX_SUMMARY_CHARACTERS - len(ending)) + ending


def details(outcome: Outcome, state: State, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a person reads next."""
    report = outcome.report
    hosts = report.hosts if report else {}
    undelivered = {
        name: f"{host.state} {host.error}".strip()
        for name, host in hosts.items()
        if host.state != "delivered"
    }
    return {
        "problems": outcome.problems,
        "failing_since": timestamp(state.failing_since),
        "last_success": timestamp(state.last_success),
        "failed_runs_in_a_row": state.failures,
        "systemd": {
            name: one_line(environment[name])
            for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")
            if name in environment
        },
        "vault": report.vault if report else None,
        "hosts": first(undelivered),
        "sources": first(report.problems) if report else {},
        "effect": "Where nothing new was delivered, the last good files stay in place.",
        "look": f"journalctl -u {UNIT}; systemctl start {UNIT} refreshes at once",
    }


def first(items: Mapping[str, str]) -> dict[str, str]:
    """Return as many as an alert has room for."""
    kept = dict(sorted(items.items())[:MAX_NAMES_IN_DETAILS])
    more = len(items) - len(kept)
    return kept | {"…": f"{more} more"} if more else kept


def timestamp(seconds: int) -> str:
    """Return a time as the report writes it."""
    if not seconds:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def send(
    action: Literal["trigger", "resolve"], credential: str, seconds: float, **event: Any
) -> str:
    """Send an event within so many seconds; return what went wrong, or nothing."""
    os.environ["RAX_ALERTING_CREDENTIAL"] = credential
    # PagerDuty's client would write a line for each attempt.
    logging.getLogger("pagerduty").setLevel(logging.CRITICAL)
    try:
        from rax import alerting
        from rax.errors import RaxError
    except ImportError:
        return "the package 'rax' is not installed here"
    try:
        alerting.deliver(action, **event, limit=seconds)
    except RaxError as error:
        return one_line(str(error))
    except Exception as error:
        return f"unexpected {type(error).__name__}"
    return ""
