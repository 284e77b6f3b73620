# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from bench_testing import make_run

from benchmarks import deployment

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


def test_converged_is_the_ratio_of_medians_and_shows_the_median_run():
    sites = [make_run(seconds) for seconds in (60.0, 40.0, 90.0)]
    pings = [make_run(seconds) for seconds in (2.0, 9.0, 1.0)]
    figures, text = deployment.converged_report(sites, pings)
    assert figures["pings"] == 30.0
    assert figures["run"]["seconds"] == 60.0
    assert "costs **30.0 pings** (aim: at most 40)" in text
    assert "| site.yml | 60.0 | 40.0 | 90.0 | 3 |" in text


@pytest.mark.parametrize(("warm", "word"), [(True, "it was warm"), (False, "it was cold")])
def test_a_first_run_is_told_by_phase(warm, word):
    first = deployment.FirstRun(
        {"nodes": 20.0}, RUN, 10.0, [make_run(2.0)], warm, image_built=False
    )
    figures, text = deployment.first_run_report(first)
    assert figures["seconds"] == sum(figures["phases"].values()) == 40.0
    assert figures["pings"] == 20.0
    assert "**40 s, 20 pings** (aim: under 300 s" in text
    assert word in text
    assert "| nodes | 20.0 | 50% | 10.0 |" in text
    assert "| site.yml: Second | 5.0 | 12% | 2.5 |" in text
