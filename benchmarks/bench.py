# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a deployment costs, and write the figures to benchmarks/results/.

credentials from a vault to locked files, in pings: a play with one ping on the same nodes
dag_sync    a repository that is followed: to git by hand, and reads while it changes
library     what rax costs those who import it: credentials, configs, reads while they change
first_run   from no nodes to the first successful run of a workflow, by phase
converged   a site.yml that has nothing to do, in pings

Without a name, all. They make the clusters `bench`, `bench-credentials` and `bench-dag-sync`, and
remove them at the end, whatever happens; `library` needs none.
"""

import argparse
import contextlib
import signal
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import credentials, dag_sync, library, measure
from benchmarks.measure import BenchError, Run, Span, table

BENCHMARKS = ("credentials", "dag_sync", "library", "first_run", "converged")
OWN_CLUSTER = "bench"
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
    return table((title, "seconds", "share", "pings"), rows)


def sorted_parts(parts: dict[str, float]) -> dict[str, float]:
    """Return the parts, the largest first."""
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def converged_report(sites: list[Run], pings: list[Run]) -> tuple[dict[str, Any], str]:
    """Return the figures of a converged site.yml, raw and as Markdown."""
    site = statistics.median([run.seconds for run in sites])
    ping = statistics.median([run.seconds for run in pings])
    typical = min(sites, key=lambda run: abs(run.seconds - site))
    figures = {
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
        + table(
            ("interleaved runs", "median", "least", "most", "runs"),
            [measure.spread("site.yml", sites), measure.spread("ping", pings)],
        )
        + "\nWhere the time of the median run goes:\n\n"
        + parts_table("role", sorted_parts(seconds_by(typical, role_of)), ping)
        + "\n"
        + parts_table("play", seconds_by(typical, lambda span: span.play), ping)
        + "\nIts slowest tasks (results: one for each host, or for each item on it):\n\n"
        + table(("role", "task", "times", "results", "seconds", "share", "pings"), tasks)
    )
    return figures, text


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
    figures = {
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
    return figures, text


class Cluster:
    """A cluster of the lab, and what can be timed on it."""

    def __init__(self, name: str) -> None:
        """Take a cluster, which need not exist yet."""
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


def stop(*_: object) -> None:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(BENCHMARKS))
    parser.add_argument(
        "--cluster",
        default=OWN_CLUSTER,
        help="have `converged` use this cluster, which must be up, such as demo",
    )
    parser.add_argument(
        "--results", type=Path, default=measure.HERE / "results", help="another folder to write to"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="have `dag_sync` and `library` take few rounds: no measure, a try",
    )
    parser.add_argument("--package-cache", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        machine = measure.look_at_machine()
        if "credentials" in names:
            with measure.removed_at_the_end(credentials.CLUSTER):
                report, drawing = credentials.measured()
                measure.write(options.results, "credentials", machine, report)
                (options.results / "credentials.svg").write_text(drawing)
        if "dag_sync" in names:
            with measure.removed_at_the_end(dag_sync.CLUSTER):
                report = dag_sync.measured(quick=options.quick)
                measure.write(options.results, "dag_sync", machine, report)
        if "library" in names:
            report = library.measured(quick=options.quick)
            measure.write(options.results, "library", machine, report)
        with contextlib.ExitStack() as stack:
            own, cluster = Cluster(OWN_CLUSTER), Cluster(options.cluster)
            ours = "converged" in names and cluster.name == OWN_CLUSTER
            if "first_run" in names or ours:
                stack.enter_context(measure.removed_at_the_end(own.name))
                first = own.deploy(options.package_cache)
                if "first_run" in names:
                    measure.write(options.results, "first_run", machine, first_run_report(first))
            if "converged" in names:
                if not ours:
                    cluster.playbook("site", "site.yml")  # Others may have changed something.
                report = converged_report(*cluster.converged())
                measure.write(options.results, "converged", machine, report)
    except BenchError as error:
        print(f"\nscripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscripts/bench: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
