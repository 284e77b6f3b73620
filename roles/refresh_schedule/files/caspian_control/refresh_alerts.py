# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: what is said of a failed run, and how it is sent to PagerDuty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caspian_control.documents import timestamp
from caspian_control.pagerduty import MAX_SUMMARY_CHARACTERS
from caspian_control.refresh_outcome import Outcome
from caspian_control.refresh_state import State
from caspian_control.text import first, one_line

UNIT = "caspian-refresh"


def summary(outcome: Outcome, state: State, source: str) -> str:
    """Return what a person reads first: what failed, where, and where to look."""
    runs = f", {state.failures} runs in a row" if state.failures > 1 else ""
    ending = f'. See "journalctl -u {UNIT}" on {source}.'
    text = f"Credentials refresh on {source} failed{runs}: {'; '.join(outcome.problems)}"
    return one_line(text, MAX_SUMMARY_CHARACTERS - len(ending)) + ending


def confirmed(state: State) -> str:
    """Say by what the nodes' credentials are confirmed."""
    if state.vault_copy_of:
        return f"against a copy of {timestamp(state.vault_copy_of)}"
    return "against the vault itself"


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
        "confirmed": confirmed(state),
        "hosts": first(undelivered),
        "sources": first(report.problems) if report else {},
        "effect": "Where nothing new was delivered, the last good files stay in place.",
        "look": f"journalctl -u {UNIT}; systemctl start {UNIT} refreshes at once",
    }
