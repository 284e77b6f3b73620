# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from bench_testing import CLEAN, make_run

from benchmarks import deployment, measure

RUN = make_run(
    spans=[
        ("First", "", "(begin the play)", 0.5),
        ("First", "caspian.airflow.broker", "write | Write", 3.0),
        ("Second", "caspian.airflow.broker", "write | Write", 1.0),
        ("Second", "other.one.role", "Ask", 4.0),
    ]
)


def test_the_parts_make_up_the_whole():
    by_role = deployment.seconds_by(RUN, deployment.role_of)
    assert by_role == {
        deployment.ANSIBLE_ITSELF: 1.5, "(no role)": 0.5, "broker": 4.0, "other.one.role": 4.0,
    }  # fmt: skip
    by_play = deployment.seconds_by(RUN, lambda span: span.play)
    assert [*by_play] == [deployment.ANSIBLE_ITSELF, "First", "Second"]
    assert sum(by_play.values()) == RUN.seconds


def test_a_repeated_task_is_slow_as_one():
    assert deployment.slowest_tasks(RUN, 2) == [
        ("broker", "write | Write", 2, 4, 4.0),
        ("other.one.role", "Ask", 1, 2, 4.0),
    ]


def test_converged_is_the_median_of_ratios_and_shows_the_median_run():
    sites = [make_run(seconds) for seconds in (60.0, 40.0, 90.0)]
    pings = [make_run(seconds) for seconds in (2.0, 4.0, 1.0)]
    report = deployment.converged_report(deployment.Converged(sites, pings))
    assert report.figures["pings"].value == 30.0
    assert report.raw["run"]["seconds"] == 60.0
    assert "| site.yml | 60.0 | 40.0 | 90.0 | 3 |" in report.text
    assert "| ping | 2.0 | 1.0 | 4.0 | 3 |" in report.text


@pytest.mark.parametrize(("warm", "word"), [(True, "was warm"), (False, "was cold")])
def test_a_first_run_is_told_by_phase(warm, word):
    first = deployment.FirstRun(
        {"nodes": 20.0}, RUN, 10.0, [make_run(2.0)], warm, image_built=False
    )
    report = deployment.first_run_report(first)
    assert report.figures["seconds"].value == sum(report.raw["phases"].values()) == 40.0
    assert "That is 20 pings. The cache of packages" in report.text
    assert word in report.text
    assert "| nodes | 20.0 | 50% | 10.0 |" in report.text
    assert "| site.yml: Second | 5.0 | 12% | 2.5 |" in report.text


@pytest.mark.parametrize("changed", [0, 1])
def test_runs_that_changed_something_are_no_figure(monkeypatch, changed):
    """The ping goes first, alone to open the connections; each has the same options."""
    taken = []

    def playbook(label, path, *arguments, **_):
        taken.append((path, *arguments))
        return make_run(recap={"a": CLEAN | {"changed": changed * (label == "site")}})

    monkeypatch.setattr(measure, "playbook", playbook)
    cluster = deployment.Cluster("x")
    if changed:
        with pytest.raises(measure.BenchError, match="should have changed nothing"):
            cluster.converged(2, "--limit", "a")
        return
    found = cluster.converged(2, "--limit", "a")
    assert (len(found.sites), len(found.pings)) == (2, 2)
    ping, site = ((path, "--limit", "a") for path in (measure.PING, "site.yml"))
    assert taken == [ping, ping, site, ping, site]
