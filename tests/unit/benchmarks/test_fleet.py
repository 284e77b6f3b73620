# SPDX-License-Identifier: GPL-3.0-or-later
import json
from pathlib import Path

import pytest
from bench_testing import make_run

from benchmarks import fleet
from benchmarks.deployment import Converged

SPANS = [("Deploy", "caspian.airflow.broker", "write | Write", 4.0)]


def size(nodes, site, ping, limited_site, limited_ping):
    return fleet.Size(
        nodes,
        Converged([make_run(site, SPANS)], [make_run(ping)]),
        Converged([make_run(limited_site)], [make_run(limited_ping)]),
    )


def test_figures_are_in_pings_on_the_same_nodes():
    """40 pings to 20, and 15 to 10, though seconds grew more."""
    few, many = size(4, 20.0, 1.0, 10.0, 1.0), size(30, 400.0, 10.0, 30.0, 2.0)
    report = fleet.report(few, many)
    assert {name: one.value for name, one in report.figures.items()} == {
        "whole": 2.0, "limited": 1.5,
    }  # fmt: skip
    assert "| 30 nodes, all: site.yml | 400.0 | 400.0 | 400.0 | 1 | 0.0 | 40.0 |" in report.text
    assert "| 4 nodes, a worker and control: ping | 1.0 | 1.0 |" in report.text
    assert "| broker | 4.0 | 0.4 | -3.6 |" in report.text
    assert json.loads(json.dumps(report.raw)) == report.raw


def test_the_nodes_that_are_added_are_workers():
    assert fleet.workers(4) == ["worker1", "worker2"]
    assert fleet.added(4) == []
    assert fleet.added(6) == ["worker3", "worker4"]
    assert len({*fleet.NODES, *fleet.added(30)}) == 30


@pytest.mark.parametrize(
    ("quick", "nodes", "rounds"), [(False, 30, fleet.ROUNDS), (True, 8, 1)], ids=["all", "quick"]
)
def test_a_small_cluster_is_measured_and_then_grows(monkeypatch, quick, nodes, rounds):
    done = []

    class Cluster:
        def __init__(self, name):
            assert name == fleet.CLUSTER

        def create(self, _, *arguments):
            done.append(("create", *arguments))

        def playbook(self, label, *_):
            done.append((label,))

        def converged(self, *arguments):
            done.append(("measure", *arguments))
            return Converged([make_run(20.0)], [make_run(1.0)])

    monkeypatch.setattr(fleet, "Cluster", Cluster)
    report = fleet.measured(Path("cache"), quick=quick)
    last = f"worker{nodes - 2}"
    assert report.quick == quick
    assert done == [
        ("create", *fleet.NODES),
        ("prepare",),
        ("site",),
        ("measure", rounds, *fleet.WORKER),
        ("measure", rounds, *fleet.WORKER, "--limit", "worker2,control"),
        ("create", "--like", "worker2", *fleet.added(nodes)),
        ("site",),
        ("measure", rounds, *fleet.WORKER),
        ("measure", rounds, *fleet.WORKER, "--limit", f"{last},control"),
    ]
