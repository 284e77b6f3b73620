# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole deployment costs: from no nodes to a workflow's success, and with nothing to do."""

import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures, measure
from benchmarks.measure import Run, Span

NODES = ("control1", "scheduler1", "worker1", "worker2")
ROUNDS = 3
AIM_PINGS = 40
AIM_SECONDS = 300
OUR_ROLES = "caspian.airflow."
ANSIBLE_ITSELF = "(Ansible's start and end)"


def seconds_by(run: Run, key: Callable[[Span], str]) -> dict[str, float]:
    """Return all seconds of a run by what the key names, in the order of the run."""
    found: dict[str, float] = {ANSIBLE_ITSELF: run.start_and_end}
    for span in run.spans:
        found[key(span)] = found.get(key(span), 0.0) + span.seconds
    return found


def role_of(span: Span) -> str:
    """Return the name of a span's role."""
    return span.role.removeprefix(OUR_ROLES) or "(no role)"


def slowest_tasks(run: Run, count: int = 10) -> list[tuple[str, str, int, int, float]]:
    """Return (role, task, times, results, seconds) of the slowest, a repeated task as one."""
    found: dict[tuple[str, str], list[Span]] = {}
    for span in run.spans:
        found.setdefault((role_of(span), span.task), []).append(span)
    rows = [
        (*name, len(spans), sum(span.results for span in spans), sum(s.seconds for s in spans))
        for name, spans in found.items()
    ]
    return sorted(rows, key=lambda row: -row[-1])[:count]


def parts_table(title: str, parts: dict[str, float], ping: float) -> str:
    """Return a table of the parts that make up a whole."""
    whole = sum(parts.values())
    rows = [
        (name, seconds, f"{seconds / whole:.0%}", seconds / ping) for name, seconds in parts.items()
    ]
    return figures.table((title, "seconds", "share", "pings"), rows)


def sorted_parts(parts: dict[str, float]) -> dict[str, float]:
    """Return the parts, the largest first."""
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def converged_report(sites: list[Run], pings: list[Run]) -> tuple[dict[str, Any], str]:
    """Return the figures of a converged site.yml, raw and as Markdown."""
    site = statistics.median([run.seconds for run in sites])
    ping = statistics.median([run.seconds for run in pings])
    typical = min(sites, key=lambda run: abs(run.seconds - site))
    raw = {
        "pings": site / ping,
        "aim_pings": AIM_PINGS,
        "site_seconds": [run.seconds for run in sites],
        "ping_seconds": [run.seconds for run in pings],
        "run": asdict(typical),
    }
    tasks = [
        (*row, f"{row[-1] / typical.seconds:.0%}", row[-1] / ping) for row in slowest_tasks(typical)
    ]
    text = (
        f"A converged `site.yml` costs **{site / ping:.1f} pings** (aim: at most {AIM_PINGS}).\n\n"
        + figures.table(
            ("interleaved runs", "median", "least", "most", "runs"),
            [figures.spread("site.yml", sites), figures.spread("ping", pings)],
        )
        + "\nWhere the time of the median run goes:\n\n"
        + parts_table("role", sorted_parts(seconds_by(typical, role_of)), ping)
        + "\n"
        + parts_table("play", seconds_by(typical, lambda span: span.play), ping)
        + "\nIts slowest tasks (results: one for each host, or for each item on it):\n\n"
        + figures.table(("role", "task", "times", "results", "seconds", "share", "pings"), tasks)
    )
    return raw, text


@dataclass(frozen=True)
class FirstRun:
    """From no nodes to a workflow that succeeded."""

    before: dict[str, float]  # phase → seconds, before site.yml
    site: Run
    workflow: float
    pings: list[Run]
    warm: bool
    image_built: bool


def first_run_report(first: FirstRun) -> tuple[dict[str, Any], str]:
    """Return the figures of a first run, raw and as Markdown."""
    ping = statistics.median(run.seconds for run in first.pings)
    plays = seconds_by(first.site, lambda span: span.play)
    phases = first.before | {f"site.yml: {play}": seconds for play, seconds in plays.items()}
    phases["workflow"] = first.workflow
    whole = sum(phases.values())
    raw = {
        "seconds": whole,
        "aim_seconds": AIM_SECONDS,
        "pings": whole / ping,
        "ping_seconds": [run.seconds for run in first.pings],
        "warm_package_cache": first.warm,
        "image_built": first.image_built,
        "phases": phases,
        "run": asdict(first.site),
    }
    image = "built first" if first.image_built else "there before"
    text = (
        "From no nodes to the first successful run of a workflow:"
        f" **{whole:.0f} s, {whole / ping:.0f} pings** (aim: under {AIM_SECONDS} s with a warm"
        f" package cache; here it was {'warm' if first.warm else 'cold'},"
        f" and the nodes' image was {image}).\n\n"
        + parts_table("phase", phases, ping)
        + "\n`site.yml` by role:\n\n"
        + parts_table("role", sorted_parts(seconds_by(first.site, role_of)), ping)
    )
    return raw, text


class Cluster:
    """A cluster of the lab, which need not exist yet, and what can be timed on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, label: str, *argv: str) -> measure.Ended:
        """Run a command on this cluster."""
        return measure.run(label, *argv, CASPIAN_LAB=self.name)

    def playbook(self, label: str, path: str) -> Run:
        """Run a playbook on this cluster."""
        return measure.playbook(label, path, CASPIAN_LAB=self.name)

    def ping(self) -> Run:
        """Run the play with one ping."""
        return self.playbook("ping", measure.PING)

    def deploy(self, cache: Path) -> FirstRun:
        """Make the nodes, deploy, run a workflow."""
        warm = any(cache.glob("archive-*/*"))
        cache.mkdir(parents=True, exist_ok=True)
        nodes = self.run(
            "nodes", "scripts/nodes", "create", "--cluster", self.name,
            "--mount", f"{cache}:/var/cache/uv", *NODES,
        )  # fmt: skip
        self.ping()  # Opens the connections, which the runs then share.
        pings = [self.ping() for _ in range(ROUNDS)]
        prepare = self.playbook("prepare", "scripts/lab/prepare.yml")
        site = self.playbook("site", "site.yml")
        workflow = self.run(
            "workflow", sys.executable, "scripts/lab/run_workflow.py", "--cluster", self.name
        )
        before = {"nodes": nodes.seconds, "prepare": prepare.seconds}
        return FirstRun(before, site, workflow.seconds, pings, warm, "building" in nodes.output)

    def converged(self) -> tuple[list[Run], list[Run]]:
        """Return the runs of site.yml and those of the ping, which take turns."""
        sites, pings = [], []
        for _ in range(ROUNDS):
            pings.append(self.ping())
            sites.append(self.playbook("site", "site.yml"))
            measure.refuse_bad_recap(sites[-1], set(pings[-1].recap), changed=False)
        return sites, pings
