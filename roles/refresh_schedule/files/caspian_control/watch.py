# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command watch: make incidents of what a look at the cluster has seen, and end them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from caspian_control import pagerduty, refresh_state, watch_alerts
from caspian_control.documents import ReportError, read_report, replace
from caspian_control.health_report import HealthReport, Where, parse_health
from caspian_control.incidents import forget_untold, members, note, open_due
from caspian_control.pagerduty import NONE, OPEN, UNSURE
from caspian_control.service import service_problem, was_stopped
from caspian_control.text import MAX_LINE_CHARACTERS, complain, one_line
from caspian_control.watch_state import State

# Less than this is not worth a try.
MIN_ALERT_SECONDS = 0.5
# What ansible-playbook ends with where a task has failed.
FOUND = "2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this command alone is told."""
    parser.add_argument(
        "--refresh-state", type=Path, help="what the command refresh remembers, which alerts too"
    )


def run(settings: argparse.Namespace, environment: Mapping[str, str], now: float) -> None:
    """Note what was seen, open and resolve incidents."""
    try:
        state = State.load(settings.state)
    except ReportError as error:
        complain(
            f"begins with an empty state: {error}; an incident that was open stays so in PagerDuty"
            " unless its problem is still there"
        )
        state = State()
    report, failure = judge(settings.report, state, environment)
    if failure is None:
        sys.stdout.write("the look was stopped before its end\n")
        state.last_run, state.last_run_success = int(now), False
        save(settings, state)
        return
    look(state, report, failure, settings, int(now))
    save(settings, state)
    sent = tell(settings, state) if settings.alert else []
    print_look(state, report, failure, sent)


def judge(
    path: Path, state: State, environment: Mapping[str, str]
) -> tuple[HealthReport | None, str | None]:
    """Return the report, and what kept the look from being one: nothing if it is good.

    None instead of a reason is a look that was stopped, which says nothing.
    """
    report, absent, unreadable = read_report(path, parse_health, state.report)
    if was_stopped(environment) and (state.last_run_success or not state.last_run):
        return None, None
    ended = service_problem(environment)
    # The playbook ends with 2 where it has found problems, which it then tells. The unit's result
    # is a success then, so that the cluster's trouble is no failed unit of the control node.
    if not ended and environment.get("EXIT_STATUS") == FOUND and not (report and report.problems):
        ended = f"ansible-playbook ended with {FOUND}"
    return report, "; ".join(filter(None, [ended, absent, unreadable]))


def look(
    state: State,
    report: HealthReport | None,
    failure: str,
    settings: argparse.Namespace,
    now: int,
) -> None:
    """Note what was seen, and give problems that have lasted their incidents."""
    problems = dict(report.problems) if report else {}
    itself = Where(settings.source, "watch", "watch-failed")
    if failure:
        problems[itself] = [f"nobody looks after the cluster: {failure}"]
    unknown = {
        where
        for where in state.sightings
        # What the scheduler would have said of any host is not known to be gone either.
        if report is None or not report.sees_cluster or where.host in report.unseen
    }
    note(state, problems, unknown - {itself}, now)
    open_due(state, explained_kinds(settings.refresh_state), now)
    forget_untold(state)
    state.last_run, state.last_run_success = now, not failure
    if report:
        state.report = report.identity


def explained_kinds(refresh: Path | None) -> set[str]:
    """Return the kinds of which the command refresh tells by itself."""
    if refresh is None:
        return set()
    try:
        alert = refresh_state.State.load(refresh).alert
    except ReportError:
        return set()
    return {"refresh"} if alert != NONE else set()


def tell(settings: argparse.Namespace, state: State) -> list[str]:
    """Open and resolve at PagerDuty what is not yet; return what was done."""
    wanted: list[tuple[str, Literal["trigger", "resolve"], dict[str, Any]]] = []
    for key, known in state.incidents.items():
        problems = members(state, key)
        # What was not seen this time may be over: the next look knows.
        is_there = any(not sighting.gone for sighting in problems.values())
        if is_there and known != OPEN:
            wanted.append((key, "trigger", watch_alerts.event(problems, settings.source)))
        elif not problems:
            wanted.append((key, "resolve", {}))
    if not wanted:
        return []
    # Killed from here on: PagerDuty may have the events or not.
    state.incidents |= dict.fromkeys([key for key, _action, _event in wanted], UNSURE)
    save(settings, state)
    done, deadline = [], time.monotonic() + settings.limit
    for key, action, event in wanted:
        left = deadline - time.monotonic()
        problem = "there was no time left"
        if left >= MIN_ALERT_SECONDS:
            problem = pagerduty.send(
                action, settings.alert, left, dedup_key=pagerduty.key(f"platform/{key}"), **event
            )
        if problem:
            complain(f"{action} of {key}: {problem}; the next run tries again")
        elif action == "trigger":
            state.incidents[key] = OPEN
            done.append(f"opened {key}")
        else:
            del state.incidents[key]
            done.append(f"resolved {key}")
    save(settings, state)
    return done


def save(settings: argparse.Namespace, state: State) -> None:
    """Write the state."""
    try:
        replace(settings.state, state.text(), 0o600)
    except OSError as error:
        complain(f"cannot write {settings.state}: {error.strerror}")


def print_look(state: State, report: HealthReport | None, failure: str, sent: list[str]) -> None:
    """Write a line for the journal."""
    text = f"looked at {len(report.hosts)} hosts" if report else "saw nothing"
    if failure:
        text += f": {failure}"
    present = [
        f"{where.host} {where.component} {where.kind}"
        for where, sighting in sorted(state.sightings.items())
        if not sighting.gone
    ]
    text += f"; problems: {', '.join(present) or 'none'}"
    sys.stdout.write("; ".join([one_line(text, MAX_LINE_CHARACTERS), *sent]) + "\n")
