# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a run, from its fleet report and from what systemd says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from caspian_control.documents import read_report
from caspian_control.fleet_report import Report, parse_report
from caspian_control.refresh_state import State
from caspian_control.service import service_problem, service_result, was_stopped
from caspian_control.text import listed


@dataclass(frozen=True)
class Outcome:
    """What went wrong, most telling first; nothing if the run was good."""

    problems: list[str]
    stopped: bool
    report: Report | None


def judge(path: Path, state: State, environment: Mapping[str, str]) -> Outcome:
    """Return the verdict; `path` is where the run leaves its report."""
    report, absent, unreadable = read_report(path, parse_report, state.report)
    if absent and was_stopped(environment):
        # Once is a person or a shutdown; again and again something is wrong.
        excused = state.last_run_success or not state.last_run
        return Outcome([] if excused else ["it was stopped before its end, again"], excused, None)
    ended = service_problem(environment)
    problems = list(report_problems(report)) if report else []
    # "Ended with 2" is but the consequence of what the report says. A time-out or a kill is not:
    # the report may not know of it.
    if ended and (not problems or service_result(environment) != "exit-code"):
        problems.insert(0, ended)
    # A run that ended badly need not have left one.
    if absent and not ended:
        problems.append(absent)
    if unreadable:
        problems.append(unreadable)
    return Outcome(problems, False, report)


def report_problems(report: Report) -> Iterator[str]:
    """Yield what the report says that went wrong, hosts and sources by name."""
    if report.vault_error:
        yield f"the vault ({report.vault}) gave nothing: {report.vault_error}"
    for state in ("unreachable", "failed", "not_reached"):
        hosts = {name: host.error for name, host in report.hosts.items() if host.state == state}
        # Without a vault no host is reached, which goes without saying.
        if hosts and not (report.vault_error and state == "not_reached"):
            yield f"{count(hosts, 'host')} {state.replace('_', ' ')}: {listed(hosts)}"
    if report.problems and not report.vault_error:
        yield f"{count(report.problems, 'source')} not fetched: {listed(report.problems)}"
    wrong = {
        name: host.error
        for name, host in report.hosts.items()
        if host.state == "delivered" and host.error
    }
    # Where sources are missing, that is what these hosts say too.
    if wrong and not report.problems:
        yield f"{count(wrong, 'host')} delivered to, but: {listed(wrong)}"
    missing = {
        name: f"{host.counts['missing']} sources"
        for name, host in report.hosts.items()
        if host.counts and host.counts.get("missing")
    }
    if missing and not report.problems and not report.vault_error:
        yield f"{count(missing, 'host')} without a file of some sources: {listed(missing)}"


def count(items: Mapping[str, str], noun: str) -> str:
    """Return 1 host, 2 hosts."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
