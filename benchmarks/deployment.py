# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole deployment costs: from no nodes to a workflow's success, and with nothing to do."""

import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import figures, measure
from benchmarks.aims import figures_of
from benchmarks.figures import Report
from benchmarks.measure import Run, Span

NODES = ("control1", "scheduler1", "worker1", "worker2")
PREPARE, SITE = "scripts/lab/prepare.yml", "site.yml"
ROUNDS = 3
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


@dataclass(frozen=True)
class Converged:
    """Runs of a site.yml that had nothing to do, and pings of the same hosts, in turns."""

    sites: list[Run]
    pings: list[Run]

    @property
    def in_pings(self) -> float:
        """The median of the rounds' ratios: the two of a round are close in time."""
        return figures.ratio(
            [run.seconds for run in self.sites], [run.seconds for run in self.pings]
        )

    @property
    def ping(self) -> float:
        """The seconds of a ping, the median."""
        return statistics.median(run.seconds for run in self.pings)

    @property
    def typical(self) -> Run:
        """The run of site.yml that took about the median."""
        site = statistics.median(run.seconds for run in self.sites)
        return min(self.sites, key=lambda run: abs(run.seconds - site))


def converged_report(found: Converged) -> Report:
    """Return what a converged site.yml costs."""
    ping, typical = found.ping, found.typical
    raw = {
        "site_seconds": [run.seconds for run in found.sites],
        "ping_seconds": [run.seconds for run in found.pings],
        "run": asdict(typical),
    }
    tasks = [
        (*row, f"{row[-1] / typical.seconds:.0%}", row[-1] / ping) for row in slowest_tasks(typical)
    ]
    text = (
        figures.table(
            ("interleaved runs", "median", "least", "most", "runs"),
            [figures.spread("site.yml", found.sites), figures.spread("ping", found.pings)],
        )
        + "\nWhere the time of the median run goes:\n\n"
        + parts_table("role", sorted_parts(seconds_by(typical, role_of)), ping)
        + "\n"
        + parts_table("play", seconds_by(typical, lambda span: span.play), ping)
        + "\nIts slowest tasks (results: one for each host, or for each item on it):\n\n"
        + figures.table(("role", "task", "times", "results", "seconds", "share", "pings"), tasks)
    )
    return Report("converged", figures_of("converged", {"pings": found.in_pings}), raw, text)


@dataclass(frozen=True)
class FirstRun:
    """From no nodes to a workflow that succeeded."""

    before: dict[str, float]  # phase → seconds, before site.yml
    site: Run
    workflow: float
    pings: list[Run]
    warm: bool
    image_built: bool


def first_run_report(first: FirstRun) -> Report:
    """Return what a first run takes, by phase."""
    ping = statistics.median(run.seconds for run in first.pings)
    plays = seconds_by(first.site, lambda span: span.play)
    phases = first.before | {f"site.yml: {play}": seconds for play, seconds in plays.items()}
    phases["workflow"] = first.workflow
    whole = sum(phases.values())
    raw = {
        "ping_seconds": [run.seconds for run in first.pings],
        "warm_package_cache": first.warm,
        "image_built": first.image_built,
        "phases": phases,
        "run": asdict(first.site),
    }
    image = "built first" if first.image_built else "there before"
    text = (
        f"That is {whole / ping:.0f} pings. The cache of packages was"
        f" {'warm' if first.warm else 'cold'}, and the nodes' image was {image}.\n\n"
        + parts_table("phase", phases, ping)
        + "\n`site.yml` by role:\n\n"
        + parts_table("role", sorted_parts(seconds_by(first.site, role_of)), ping)
    )
    return Report("first_run", figures_of("first_run", {"seconds": whole}), raw, text)


class Cluster:
    """A cluster of the lab, which need not exist yet, and what can be timed on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, label: str, *argv: str) -> measure.Ended:
        """Run a command on this cluster."""
        return measure.run(label, *argv, CASPIAN_LAB=self.name)

    def playbook(self, label: str, path: str, *arguments: str) -> Run:
        """Run a playbook on this cluster."""
        return measure.playbook(label, path, *arguments, CASPIAN_LAB=self.name)

    def ping(self, *arguments: str) -> Run:
        """Run the play with one ping."""
        return self.playbook("ping", measure.PING, *arguments)

    def create(self, cache: Path, *arguments: str) -> measure.Ended:
        """Make nodes that share the cache of packages."""
        cache.mkdir(parents=True, exist_ok=True)
        return self.run(
            "nodes", "scripts/nodes", "create", "--cluster", self.name,
            "--mount", f"{cache}:/var/cache/uv", *arguments,
        )  # fmt: skip

    def deploy(self, cache: Path) -> FirstRun:
        """Make the nodes, deploy, run a workflow."""
        warm = any(cache.glob("archive-*/*"))
        nodes = self.create(cache, *NODES)
        self.ping()  # Opens the connections, which the runs then share.
        pings = [self.ping() for _ in range(ROUNDS)]
        prepare = self.playbook("prepare", PREPARE)
        site = self.playbook("site", SITE)
        workflow = self.run(
            "workflow", sys.executable, "scripts/lab/run_workflow.py", "--cluster", self.name
        )
        before = {"nodes": nodes.seconds, "prepare": prepare.seconds}
        return FirstRun(before, site, workflow.seconds, pings, warm, "building" in nodes.output)

    def converged(self, rounds: int, *arguments: str) -> Converged:
        """Run site.yml, which has nothing to do, and the ping on the same hosts in turns."""
        sites, pings = [], []
        self.ping(*arguments)  # Opens the connections.
        for _ in range(rounds):
            pings.append(self.ping(*arguments))
            sites.append(self.playbook("site", SITE, *arguments))
            measure.refuse_bad_recap(sites[-1], set(pings[-1].recap), changed=False)
        return Converged(sites, pings)
