"""What a summary says: its state, its report and its structured line."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import rax
from rax.errors import WorkflowError
from rax.workflow import Summary, TaskOutcome
from rax.workflow._summary import rows_of
from rax.workflow._text import reason, shown

SOURCE = str(Path(rax.__file__).parents[1])


def outcome(name="load", state="success", **fields):
    return TaskOutcome(task_id=name, state=state, **fields)


def summary(*tasks, **fields):
    return Summary(workflow="ebi", run_id="manual", tasks=tasks, **fields)


def mapped(count, bad=()):
    return [
        outcome(
            map_index=index, state="failed" if index in bad else "success", rows=index, try_number=1
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (summary(), "success"),
        (summary(outcome()), "success"),
        (summary(outcome(), outcome("b", "skipped")), "success"),
        (summary(outcome(state="skipped"), idle=True), "skipped"),
        (summary(outcome(state="failed")), "failed"),
        (summary(outcome(state="upstream_failed")), "failed"),
        (summary(outcome(state="unknown")), "failed"),
        (summary(outcome(state="failed"), idle=True), "failed"),
        (summary(problem="report: ValueError"), "failed"),
        (summary(outcome(), gaps=("what the tasks noted: OSError",)), "success"),
    ],
)
def test_state(made, state):
    assert made.state == state
    assert json.loads(made.to_json())["state"] == state


@pytest.mark.parametrize(
    ("made", "reasons", "headline"),
    [
        (summary(outcome()), [], "ebi (default) succeeded"),
        (summary(idle=True), [], "ebi (default) had nothing to do"),
        (
            summary(
                outcome("source", "failed", is_check=True, reason="CheckError: down"),
                outcome("load", "upstream_failed"),
            ),
            ["check source: CheckError: down"],
            "ebi (default) failed: check source: CheckError: down",
        ),
        (
            summary(outcome("load", "upstream_failed")),
            ["load: is upstream_failed"],
            "ebi (default) failed: load: is upstream_failed",
        ),
        (
            summary(outcome("a", "failed"), outcome("b", "failed", map_index=2), problem="c: no"),
            [
                "a: failed and did not say why; its log may",
                "b[2]: failed and did not say why; its log may",
                "c: no",
            ],
            "ebi (default) failed: a: failed and did not say why; its log may (and 2 more)",
        ),
    ],
)
def test_reasons(made, reasons, headline):
    assert (made.reasons, made.headline()) == (reasons, headline)


@pytest.mark.parametrize(
    ("tasks", "aborted"),
    [
        ([outcome()], False),
        ([outcome(is_check=True)], False),
        ([outcome(state="failed")], False),
        ([outcome("c", "failed", is_check=True), outcome(state="upstream_failed")], True),
    ],
)
def test_aborted(tasks, aborted):
    assert summary(*tasks).aborted is aborted


def test_rows_of_a_task_that_noted_none():
    made = summary(outcome("source", rows=7), outcome("load", "failed"), outcome("index"))
    assert (made.rows, made.rows["source"], made.rows["load"]) == ({"source": 7}, 7, 0)
    with pytest.raises(WorkflowError, match=r"^index of ebi has noted no rows: it has to return"):
        made.rows["index"]
    with pytest.raises(WorkflowError, match=r"has no task 'laod': did you mean load\?$"):
        made.rows["laod"]


def test_outcomes_by_name():
    made = summary(outcome("source"), *mapped(3, bad=[1]))
    assert [task.name for task in made["load"]] == ["load[0]", "load[1]", "load[2]"]
    assert made.rows == {"load": 3}
    with pytest.raises(
        WorkflowError, match=r"^the summary of ebi has no task 'laod': did you mean"
    ):
        made["laod"]
    with pytest.raises(WorkflowError, match=r"has no task 'x': it has load, source$"):
        made["x"]


def test_values_are_read_when_they_are_asked_for():
    asked = []

    def pull(index):
        asked.append(index)
        if index == 2:
            raise RuntimeError("hunter2")
        return {"rows": index}

    tasks = [
        outcome(map_index=index, state=state, pull=lambda index=index: pull(index))
        for index, state in enumerate(["success", "failed", "success"])
    ]
    assert asked == []
    assert summary(*tasks[:2]).values("load") == [{"rows": 0}]
    with pytest.raises(WorkflowError) as caught:
        summary(*tasks).values("load")
    assert str(caught.value) == "what load[2] returned cannot be read: RuntimeError"
    assert asked == [0, 0, 2]


def test_many_instances_are_summed_up():
    lines = str(summary(*mapped(1000, bad=[7, 8]))).splitlines()
    assert lines[2:] == [
        "load[…]  2 failed, 998 success  1      -        499500",
        "load[7]  failed                 1      -             7",
        "load[8]  failed                 1      -             8",
        "failed: load[7]: failed and did not say why; its log may",
        "failed: load[8]: failed and did not say why; its log may",
    ]


def test_many_failures_are_bounded():
    made = summary(*mapped(1000, bad=range(1000)))
    lines = str(made).splitlines()
    assert lines[-1] == "… 980 more"
    assert len(lines) < 50
    line = json.loads(made.to_json())
    assert len(line["failures"]) == 20
    assert line["tasks"]["load"]["states"] == {"failed": 1000}
    assert made.headline().endswith("(and 999 more)")


def test_the_structured_line_of_nothing_has_all_keys():
    line = summary(started=datetime(2026, 1, 2, tzinfo=UTC)).to_json()
    assert "\n" not in line
    assert list(json.loads(line)) == [
        "kind", "workflow", "environment", "run_id", "release", "release_url", "url", "state",
        "started", "duration", "tasks", "rows", "failures", "problem", "gaps", "details",
    ]  # fmt: skip
    assert json.loads(line)["started"] == "2026-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("returned", "rows"),
    [
        ({"rows": 12}, 12),
        ({"rows": 0}, 0),
        ({"rows": -1}, None),
        ({"rows": True}, None),
        ({"rows": 1.0}, None),
        ({"rows": float("nan")}, None),
        ({"rows": "12"}, None),
        ({}, None),
        (12, None),
        (None, None),
        ([("rows", 1)], None),
    ],
)
def test_rows(returned, rows):
    assert rows_of(returned) == rows


class Endless(dict):
    def __str__(self):
        raise RuntimeError("no")

    def items(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Endless(a=1), '"a Endless that cannot be shown"'),
        ({1: {2: object}}, None),
        (b"\xff", "b'\\xff'"),
        ("\ud800", "?"),
    ],
)
def test_anything_can_be_shown(value, text):
    told = shown(value)
    assert len(told) <= 80
    assert told.isprintable()
    assert text is None or told == text.strip('"')


@pytest.mark.parametrize(
    "make",
    # Made when they are asked for: what the process holds, each fork of the others would copy.
    [lambda: list(range(10**6)), lambda: {str(index): "x" * 10**5 for index in range(10**3)}],
    ids=["many", "long"],
)
def test_what_is_large_is_shown_in_short(make):
    told = shown(make())
    assert len(told) <= 80
    assert told.isprintable()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(), "ValueError"),
        (ValueError("  a\tb  "), "ValueError: a b"),
        (ValueError("\n a\nDETAIL: b"), "ValueError: a"),
        (KeyError("a"), "KeyError: 'a'"),
        ("said", "said"),
        (None, "no reason is known"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 487 + "…"),
    ],
)
def test_reason(error, text):
    assert reason(error) == text


def test_importing_it_does_not_import_airflow():
    code = "import sys, rax.workflow; print([name for name in sys.modules if 'airflow' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
