# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment costs when the fleet grows: 30 nodes to 4, in pings on the same nodes.

The nodes that are added are containers with systemd and the whole of Airflow's worker, as the first
four are; they begin with the disk of a worker that is deployed, since only their count is measured.
"""

import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import figures
from benchmarks.aims import figures_of
from benchmarks.deployment import (
    NODES,
    PREPARE,
    ROUNDS,
    SITE,
    Cluster,
    Converged,
    role_of,
    seconds_by,
    sorted_parts,
)
from benchmarks.figures import Report

CLUSTER = "bench-fleet"
FEW, MANY = len(NODES), 30
FEW_WHEN_QUICK, ROUNDS_WHEN_QUICK = 8, 1
# The nodes share the memory of one machine.
WORKER = ("--extra-vars", "airflow_worker_concurrency=1")


@dataclass(frozen=True)
class Size:
    """A cluster of so many nodes: all of site.yml, and of one worker with the control node."""

    nodes: int
    whole: Converged
    limited: Converged


def workers(count: int) -> list[str]:
    """Return the names of the workers of a cluster of so many nodes."""
    others = [node for node in NODES if not node.startswith("worker")]
    return [f"worker{number}" for number in range(1, count - len(others) + 1)]


def added(count: int) -> list[str]:
    """Return the names of the nodes that a cluster of so many has beyond the first four."""
    return [name for name in workers(count) if name not in NODES]


def measured(cache: Path, *, quick: bool = False) -> Report:
    """Deploy four nodes and measure, add the others and measure again; return the report."""
    cluster = Cluster(CLUSTER)
    many, rounds = (FEW_WHEN_QUICK, ROUNDS_WHEN_QUICK) if quick else (MANY, ROUNDS)
    cluster.create(cache, *NODES)
    cluster.playbook("prepare", PREPARE)
    cluster.playbook("site", SITE, *WORKER)
    few = size_of(cluster, FEW, rounds)
    cluster.create(cache, "--like", workers(FEW)[-1], *added(many))
    cluster.playbook("site", SITE, *WORKER)
    return report(few, size_of(cluster, many, rounds), quick=quick)


def size_of(cluster: Cluster, nodes: int, rounds: int) -> Size:
    """Measure a cluster that is deployed."""
    limit = ("--limit", f"{workers(nodes)[-1]},control")
    whole = cluster.converged(rounds, *WORKER)
    return Size(nodes, whole, cluster.converged(rounds, *WORKER, *limit))


def report(few: Size, many: Size, *, quick: bool = False) -> Report:
    """Return what was found."""
    values = {
        "whole": many.whole.in_pings / few.whole.in_pings,
        "limited": many.limited.in_pings / few.limited.in_pings,
    }
    rows = [
        (
            *figures.spread(f"{size.nodes} nodes, {whom}: {what}", runs),
            statistics.median(run.cpu_seconds for run in runs),
            in_pings,
        )
        for size in (few, many)
        for whom, found in (("all", size.whole), ("a worker and control", size.limited))
        for what, runs, in_pings in (
            ("site.yml", found.sites, found.in_pings),
            ("ping", found.pings, 1.0),
        )
    ]
    text = (
        figures.table(("seconds", "median", "least", "most", "runs", "CPU here", "in pings"), rows)
        + "\nWhere the time of the median runs goes, in pings on the same nodes:\n\n"
        + growth_table(few, many)
    )
    raw = {"few": asdict(few), "many": asdict(many)}
    return Report("fleet", figures_of("fleet", values), raw, text, quick)


def growth_table(few: Size, many: Size) -> str:
    """Return what each role costs on few nodes and on many, the dearest on many first."""
    before, after = (in_pings_by_role(size.whole) for size in (few, many))
    rows = [
        (role, before.get(role, 0.0), pings, pings - before.get(role, 0.0))
        for role, pings in sorted_parts(after).items()
    ]
    return figures.table(("role", f"{few.nodes} nodes", f"{many.nodes} nodes", "more"), rows)


def in_pings_by_role(found: Converged) -> dict[str, float]:
    """Return what the roles of the median run took, in pings."""
    seconds = seconds_by(found.typical, role_of)
    return {role: value / found.ping for role, value in seconds.items()}
