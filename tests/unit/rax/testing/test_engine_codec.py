"""What a case's process writes is read by its form alone: an author's code ran there."""

import dataclasses
import json

import pytest

from rax.testing._engine._codec import FormError, dump, load
from rax.testing._model import UNSET, Query, RunKind, TaskKey
from rax.testing._outputs import Captured, RunOutput, TaskOutput

TASK = TaskOutput(
    TaskKey("load", 1),
    "success",
    part="check",
    upstream=frozenset({"a", "b"}),
    returned={"rows": [1, None, {"x": 2.5}]},
    tries=2,
    seconds=1.5,
    tables={Query("DB", "SELECT 1"): Captured(b"x\n\xff\n")},
    files={"out.csv": Captured(None), "bad": Captured(error="no")},
)
RUN = RunOutput(
    RunKind.LOST,
    "success",
    (TASK, TaskOutput(TaskKey("report"), "skipped")),
    ({"event_action": "resolve", "payload": {"severity": "error"}},),
    TASK.tables,
    TASK.files,
    "a line\n",
)


@pytest.mark.parametrize("run", [RUN, RunOutput(RunKind.ONCE, "failed", ())])
def test_what_is_written_is_read(run):
    assert load(RunOutput, dump(run)) == run


def test_nothing_returned_is_not_none():
    none = dataclasses.replace(TASK, returned=None)
    unset = dataclasses.replace(TASK, returned=UNSET)
    assert load(TaskOutput, dump(none)).returned is None
    assert load(TaskOutput, dump(unset)).returned is UNSET


def changed(**values):
    return json.dumps(json.loads(dump(TASK)) | values).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"null",
        b"{}",
        changed(state=1),
        changed(state=None),
        changed(tries=True),
        changed(tries=1.5),
        changed(seconds="1"),
        changed(key="load"),
        changed(key=["load"]),
        changed(key=["load", 1, 2]),
        changed(key=[1, 1]),
        changed(tables={}),
        changed(tables=[[["DB"], {}]]),
        changed(files=[["a", {"content": "*"}]]),
        changed(files=[["a", {"content": 1}]]),
        changed(files=[["a"]]),
        changed(files=[[["a"], {}]]),
        changed(upstream="ab"),
        changed(other=1),
        changed(__class__="x"),
    ],
)
def test_what_has_another_form_is_refused(content):
    with pytest.raises(FormError):
        load(TaskOutput, content)


def test_a_kind_of_run_that_is_none():
    content = dump(RUN).replace(b'"lost"', b'"found"')
    with pytest.raises(FormError, match="found"):
        load(RunOutput, content)
