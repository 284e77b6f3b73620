# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of playbooks/health.yml: which hosts it has looked at, and what is wrong there."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

from caspian_control.documents import Fields, ReportError
from caspian_control.text import one_line

MAX_KIND_CHARACTERS = 40
# The state of a host, and of the cluster, that has said how it is.
ANSWERED = "answered"
# Whoever is root of a host may tell any number of problems, and each could wake somebody.
MAX_PROBLEMS_OF_A_HOST = 20
_KIND = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Where(NamedTuple):
    """What tells one problem from another: they are of one incident as long as this is the same."""

    host: str
    component: str
    kind: str


@dataclass(frozen=True)
class HealthReport:
    """What a run has seen: the sentences by where the problems are."""

    identity: str
    hosts: frozenset[str]
    # The hosts that have not said how they are, and whether the cluster as a whole was asked.
    unseen: frozenset[str]
    sees_cluster: bool
    problems: dict[Where, list[str]]


def parse_health(document: Any) -> HealthReport:
    """Return a report that has the form it must have; raise ReportError for another."""
    top = Fields(document, "report")
    hosts = {
        one_line(name): Fields(host, f"report.hosts.{one_line(name)}").get("state", str)
        for name, host in top.get("hosts", dict).items()
    }
    if not hosts:
        raise ReportError("report.hosts names no host")
    found: dict[Where, list[str]] = {}
    for number, entry in enumerate(top.get("problems", list)):
        where, problem = parse_problem(Fields(entry, f"report.problems[{number}]"))
        sentences = found.setdefault(where, [])
        if problem not in sentences:
            sentences.append(problem)
    top.time("checked_at")
    cluster = Fields(top.get("cluster", dict), "report.cluster").get("state", str)
    return HealthReport(
        identity=one_line(top.get("checked_at", str)),
        hosts=frozenset(hosts),
        unseen=frozenset(name for name, state in hosts.items() if state != ANSWERED),
        sees_cluster=cluster == ANSWERED,
        problems=bounded(found),
    )


def parse_problem(entry: Fields) -> tuple[Where, str]:
    """Return where a problem is, and what it is."""
    kind = entry.get("kind", str)
    if not _KIND.fullmatch(kind) or len(kind) > MAX_KIND_CHARACTERS:
        raise ReportError(f"{entry.name}.kind is not words of small letters with - between them")
    texts = {key: entry.text(key).strip() for key in ("host", "component", "problem")}
    for key, text in texts.items():
        if not text:
            raise ReportError(f"{entry.name}.{key} is empty")
    return Where(texts["host"], texts["component"], kind), texts["problem"]


def bounded(found: dict[Where, list[str]]) -> dict[Where, list[str]]:
    """Leave out what one host tells beyond reason, and make a problem of that."""
    of_host: defaultdict[str, list[Where]] = defaultdict(list)
    for where in found:
        of_host[where.host].append(where)
    kept: dict[Where, list[str]] = {}
    for host, places in of_host.items():
        kept |= {where: found[where] for where in sorted(places)[:MAX_PROBLEMS_OF_A_HOST]}
        if len(places) > MAX_PROBLEMS_OF_A_HOST:
            text = (
                f"{len(places)} problems, of which the first {MAX_PROBLEMS_OF_A_HOST} are looked at"
            )
            kept[Where(host, "health", "too-many")] = [text]
    return kept
