# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest

from benchmarks import bench

CLEAN = {"ok": 5, "changed": 0, "failures": 0, "unreachable": 0, "skipped": 1}


def make_run(seconds=10.0, spans=(), recap=None):
    """A run of the spans (play, role, task, seconds), each with two results."""
    return bench.Run(
        seconds,
        [bench.Span(*span, results=2, changed=0) for span in spans],
        {"a": CLEAN, "b": CLEAN} if recap is None else recap,
    )


RUN = make_run(
    spans=[
        ("First", "", "(begin the play)", 0.5),
        ("First", "caspian.airflow.broker", "write | Write", 3.0),
        ("Second", "caspian.airflow.broker", "write | Write", 1.0),
        ("Second", "other.one.role", "Ask", 4.0),
    ]
)


def test_what_the_callback_wrote_is_read():
    span = {"play": "P", "role": "", "task": "T", "seconds": 1.5, "results": 4, "changed": 1}
    run = bench.parse_run(2.0, json.dumps({"spans": [span], "recap": {"a": CLEAN}}))
    assert run.spans == [bench.Span("P", "", "T", 1.5, 4, 1)]
    assert run.recap["a"]["ok"] == 5
    assert run.start_and_end == 0.5


def test_a_converged_run_is_taken():
    bench.refuse_unless_converged(RUN, {"a", "b"})


@pytest.mark.parametrize("bad", ["changed", "failures", "unreachable"])
def test_another_run_is_refused(bad):
    run = make_run(recap={"a": CLEAN, "b": CLEAN | {bad: 2}})
    with pytest.raises(bench.BenchError, match=f"b has {{'{bad}': 2}}"):
        bench.refuse_unless_converged(run, {"a", "b"})


def test_a_refusal_names_the_tasks_that_changed():
    span = bench.Span("P", "r", "write | Write", 1.0, results=1, changed=1)
    run = bench.Run(1.0, [span], {"a": CLEAN | {"changed": 1}})
    with pytest.raises(bench.BenchError, match=r"changed: \['write \| Write'\]"):
        bench.refuse_unless_converged(run, {"a"})


@pytest.mark.parametrize("pinged", [set(), {"a"}, {"a", "b", "c"}])
def test_a_run_on_other_nodes_is_refused(pinged):
    with pytest.raises(bench.BenchError, match="different nodes"):
        bench.refuse_unless_converged(RUN, pinged)


def test_the_parts_make_up_the_whole():
    by_role = bench.seconds_by(RUN, bench.role_of)
    assert by_role == {
        bench.ANSIBLE_ITSELF: 1.5, "(no role)": 0.5, "broker": 4.0, "other.one.role": 4.0,
    }  # fmt: skip
    by_play = bench.seconds_by(RUN, lambda span: span.play)
    assert [*by_play] == [bench.ANSIBLE_ITSELF, "First", "Second"]
    assert sum(by_play.values()) == RUN.seconds


def test_a_repeated_task_is_slow_as_one():
    assert bench.slowest_tasks(RUN, 2) == [
        ("broker", "write | Write", 2, 4, 4.0),
        ("other.one.role", "Ask", 1, 2, 4.0),
    ]


def test_a_table_keeps_its_columns():
    rows = [("write | Write", 1.26, "7%"), ("b", 3, "93%")]
    assert bench.table(("task", "n", "share"), rows).splitlines() == [
        "| task | n | share |",
        "| --- | --: | --: |",
        "| write \\| Write | 1.3 | 7% |",
        "| b | 3 | 93% |",
    ]


def test_converged_is_the_ratio_of_medians_and_shows_the_median_run():
    sites = [make_run(seconds) for seconds in (60.0, 40.0, 90.0)]
    pings = [make_run(seconds) for seconds in (2.0, 9.0, 1.0)]
    figures, text = bench.converged_report(sites, pings)
    assert figures["pings"] == 30.0
    assert figures["run"]["seconds"] == 60.0
    assert "costs **30.0 pings** (aim: at most 40)" in text
    assert "| site.yml | 60.0 | 40.0 | 90.0 | 3 |" in text


@pytest.mark.parametrize(("warm", "word"), [(True, "it was warm"), (False, "it was cold")])
def test_a_first_run_is_told_by_phase(warm, word):
    first = bench.FirstRun({"nodes": 20.0}, RUN, 10.0, [make_run(2.0)], warm, image_built=False)
    figures, text = bench.first_run_report(first)
    assert figures["seconds"] == sum(figures["phases"].values()) == 40.0
    assert figures["pings"] == 20.0
    assert "**40 s, 20 pings** (aim: under 300 s" in text
    assert word in text
    assert "| nodes | 20.0 | 50% | 10.0 |" in text
    assert "| site.yml: Second | 5.0 | 12% | 2.5 |" in text


@pytest.mark.parametrize(("load", "warns"), [(0.2, False), (3.0, True)])
def test_figures_of_a_busy_machine_say_so(load, warns):
    assert ("busy" in bench.busy({"load": load, "cores": 2})) == warns
