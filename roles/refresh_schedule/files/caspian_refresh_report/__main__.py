# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: judge the run, write state and metrics, alert or resolve."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn

from caspian_refresh_report import __doc__ as description
from caspian_refresh_report import alerts
from caspian_refresh_report.documents import ReportError, replace
from caspian_refresh_report.metrics import render_metrics
from caspian_refresh_report.outcome import Outcome, judge
from caspian_refresh_report.state import NONE, OPEN, UNSURE, State, locked
from caspian_refresh_report.text import MAX_LINE_CHARACTERS, complain, one_line

# For PagerDuty. Whoever holds the lock is bounded by it too, and needs a little more.
MAX_ALERT_SECONDS = 20.0
LOCK_MARGIN_SECONDS = 5.0


class Parser(argparse.ArgumentParser):
    """A parser that leaves the exit code to us."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        raise ReportError(f"arguments: {message}")


def parse_arguments(arguments: Iterable[str], version: str) -> argparse.Namespace:
    """Return the settings."""
    parser = Parser(
        prog="caspian_refresh_report",
        description=(description or "").partition("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    parser.add_argument("--report", type=Path, required=True, help="the playbook's fleet report")
    parser.add_argument("--state", type=Path, required=True, help="what this program remembers")
    parser.add_argument(
        "--metrics", type=Path, required=True, help="file for node_exporter, *.prom"
    )
    parser.add_argument(
        "--source", required=True, help="this host's name, for people and PagerDuty"
    )
    parser.add_argument("--after", type=int, default=1, help="alert after N failed runs in a row")
    parser.add_argument(
        "--alert", metavar="CREDENTIAL", help="PagerDuty's routing key; none: no alerts"
    )
    parser.add_argument(
        "--limit", type=float, default=MAX_ALERT_SECONDS, help="seconds for an alert"
    )
    settings = parser.parse_args(list(arguments))
    if settings.after < 1:
        parser.error("--after is less than 1")
    if not 0 < settings.limit <= 600:
        parser.error("--limit is not between 0 and 600 seconds")
    return settings


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
        state.dedup_key = f"{alerts.UNIT}/{settings.source}"
        event = {
            "summary": alerts.summary(outcome, state, settings.source),
            "severity": "error",
            "source": settings.source,
            "details": alerts.details(outcome, state, environment),
        }
    else:
        if state.alert == NONE:
            state.unsent = False
            return ""
        action, after = "resolve", NONE
    # Killed from here on: PagerDuty may have the event or not.
    state.alert, state.unsent = UNSURE, True
    save(settings, state)
    key = state.dedup_key or f"{alerts.UNIT}/{settings.source}"
    problem = alerts.send(action, settings.alert, settings.limit, dedup_key=key, **event)
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
    sys.stdout.write(f"{one_line(text, MAX_LINE_CHARACTERS)}{f'; {sent}' if sent else ''}\n")


def place_of(trace: TracebackType | None) -> str:
    """Return where an error was raised."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    if not trace:
        return "line 0"
    return f"line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name}"


def main(version: str = "of a checkout", arguments: Iterable[str] | None = None) -> None:
    """Do all of it; nothing that goes wrong here is the refresh's failure."""
    try:
        settings = parse_arguments(sys.argv[1:] if arguments is None else arguments, version)
        with locked(settings.state, settings.limit + LOCK_MARGIN_SECONDS):
            run(settings, os.environ, time.time())
    except ReportError as error:
        complain(str(error))
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
    except Exception as error:
        # Its message stays out: nobody knows what it holds.
        place = place_of(error.__traceback__)
        complain(f"unexpected {type(error).__name__} in {place}; please report it")


if __name__ == "__main__":
    main()
