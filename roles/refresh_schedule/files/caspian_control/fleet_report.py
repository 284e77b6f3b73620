# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet report: what a run of the playbook did to each host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caspian_control.documents import Fields, ReportError
from caspian_control.text import one_line

HOST_STATES = ("delivered", "failed", "unreachable", "not_reached")
SOURCE_STATES = ("current", "kept", "missing")
MAX_IDENTITY_CHARACTERS = 100


@dataclass(frozen=True)
class Host:
    """What a run did to one host."""

    state: str
    error: str
    counts: Mapping[str, int] | None
    oldest: int | None


@dataclass(frozen=True)
class Report:
    """What a run did."""

    identity: str
    started: int | None
    ended: int
    vault: str
    vault_error: str
    # When the copy of the vault that was asked was last the same as the vault; None: it was asked.
    copy_of: int | None
    problems: Mapping[str, str]
    hosts: Mapping[str, Host]


def parse_report(document: Any) -> Report:
    """Return a report that has the form it must have; raise ReportError for another."""
    top = Fields(document, "report")
    if top.values.get("version") != 1:
        raise ReportError("report.version is not 1")
    problems = top.get("problems", dict)
    hosts = top.get("hosts", dict)
    times = f"{top.values.get('started_at')}/{top.values.get('ended_at')}"
    return Report(
        identity=one_line(times, MAX_IDENTITY_CHARACTERS),
        # A run that ended before its first step has no start.
        started=top.time("started_at", optional=True),
        ended=top.time("ended_at"),
        vault=top.text("vault"),
        vault_error=top.text("vault_error"),
        copy_of=top.time("vault_copy_of", optional=True),
        problems={one_line(name): one_line(str(reason)) for name, reason in problems.items()},
        hosts={
            one_line(name): parse_host(Fields(host, f"report.hosts.{one_line(name)}"))
            for name, host in hosts.items()
        },
    )


def parse_host(host: Fields) -> Host:
    """Return what the report says of one host."""
    state = host.get("state", str)
    if state not in HOST_STATES:
        raise ReportError(f"{host.name}.state is none of {', '.join(HOST_STATES)}")
    counts = oldest = None
    if host.get("summary", dict, optional=True) is not None:
        summary = Fields(host.values["summary"], f"{host.name}.summary")
        given = {name: summary.get(name, int, optional=True) for name in SOURCE_STATES}
        counts = {name: number for name, number in given.items() if number is not None}
        oldest = summary.time("oldest_last_good_at", optional=True)
    return Host(state, host.text("error"), counts, oldest)
