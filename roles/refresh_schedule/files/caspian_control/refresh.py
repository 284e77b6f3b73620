# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command refresh: judge a run of the refresh, write state and metrics, alert or resolve."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from caspian_control import pagerduty, refresh_alerts
from caspian_control.documents import ReportError, replace
from caspian_control.pagerduty import NONE, OPEN, UNSURE
from caspian_control.refresh_metrics import render_metrics
from caspian_control.refresh_outcome import Outcome, judge
from caspian_control.refresh_state import State
from caspian_control.text import MAX_LINE_CHARACTERS, complain, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this command alone is told."""
    parser.add_argument(
        "--metrics", type=Path, required=True, help="file for node_exporter, *.prom"
    )
    parser.add_argument("--after", type=int, default=1, help="alert after N failed runs in a row")


def run(settings: argparse.Namespace, environment: Mapping[str, str], now: float) -> None:
    """Judge the run, write state and metrics, alert or resolve."""
    try:
        state = State.load(settings.state)
    except ReportError as error:
        complain(f"begins with an empty state: {error}")
        # An alert may be open: the next good run resolves it in any case.
        state = State(alert=UNSURE if settings.alert else NONE)
    outcome = judge(settings.report, state, environment)
    state.record_run(
        failed=bool(outcome.problems),
        stopped=outcome.stopped,
        report=outcome.report,
        now=int(now),
    )
    sent = alert_or_resolve(settings, environment, outcome, state)
    save(settings, state)
    print_outcome(outcome, state, sent)


def alert_or_resolve(
    settings: argparse.Namespace, environment: Mapping[str, str], outcome: Outcome, state: State
) -> str:
    """Send the alert or its end, if it is time to; return what was sent."""
    if outcome.stopped or not settings.alert:
        return ""
    action: Literal["trigger", "resolve"]
    event: dict[str, Any] = {}
    if outcome.problems:
        if state.alert == OPEN or state.failures < settings.after:
            return ""
        action, after = "trigger", OPEN
        state.dedup_key = f"{refresh_alerts.UNIT}/{settings.source}"
        event = {
            "summary": refresh_alerts.summary(outcome, state, settings.source),
            "severity": "error",
            "source": settings.source,
            "details": refresh_alerts.details(outcome, state, environment),
        }
    else:
        if state.alert == NONE:
            state.unsent = False
            return ""
        action, after = "resolve", NONE
    # Killed from here on: PagerDuty may have the event or not.
    state.alert, state.unsent = UNSURE, True
    save(settings, state)
    key = state.dedup_key or f"{refresh_alerts.UNIT}/{settings.source}"
    problem = pagerduty.send(action, settings.alert, settings.limit, dedup_key=key, **event)
    if problem:
        complain(f"{problem}; the next run tries again")
        return ""
    state.alert, state.unsent = after, False
    return {"trigger": "alert sent", "resolve": "alert resolved"}[action]


def save(settings: argparse.Namespace, state: State) -> None:
    """Write state and metrics; where one can't be written, the other still is."""
    document = json.dumps({"version": 1, **vars(state)}, indent=1, sort_keys=True)
    for path, content, mode in (
        (settings.state, f"{document}\n", 0o600),
        (settings.metrics, render_metrics(state), 0o644),
    ):
        try:
            replace(path, content, mode)
        except OSError as error:
            complain(f"cannot write {path}: {error.strerror}")


def print_outcome(outcome: Outcome, state: State, sent: str) -> None:
    """Write a line for the journal."""
    if outcome.stopped:
        text = "the refresh was stopped before its end"
    elif outcome.problems:
        text = f"the refresh failed ({state.failures} in a row): {'; '.join(outcome.problems)}"
    else:
        text = "the refresh was good"
        if state.vault_copy_of:
            text += f", {refresh_alerts.confirmed(state)}"
    sys.stdout.write(f"{one_line(text, MAX_LINE_CHARACTERS)}{f'; {sent}' if sent else ''}\n")
