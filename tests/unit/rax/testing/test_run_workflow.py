"""run_workflow: what a test gives becomes a case, and what that gave is fit for asserts."""

import datetime
import re

import pytest

from rax.errors import WorkflowError
from rax.testing._model import Query, RunKind, TaskKey
from rax.testing._outputs import Captured, CaseOutput, RunOutput, TaskOutput
from rax.testing._run_workflow import run

SQL = "SELECT id, name FROM gene"
OUTPUT = RunOutput(
    RunKind.ONCE,
    "failed",
    (
        TaskOutput(TaskKey("load", 1), "success", returned={"rows": 2}, tries=1),
        TaskOutput(TaskKey("report"), "failed", reason="CheckError: no", tries=2),
    ),
    alerts=({"event_action": "trigger"},),
    tables={Query("GENES-DB-01", SQL): Captured(b'id,name\n1,"a, b"\n2,\n3,""\n')},
    files={"out.txt": Captured(b"x"), "gone.txt": Captured()},
    log="said\n",
)


class Server:
    """Runs no case: it gives what it was made with."""

    def __init__(self, output):
        self.output = output

    def run(self, spec, case, *, max_seconds):
        self.asked = (spec, case, max_seconds)
        return self.output


@pytest.fixture
def test_file(tmp_path):
    """The file of a test in a repository, with what it may give beside it."""
    for name in ("dags", "configs", "tests"):
        (tmp_path / name).mkdir()
    (tmp_path / "tests/before.sql").write_text("SELECT 1;")
    return tmp_path / "tests/test_genes.py"


def test_what_is_given_becomes_a_case(test_file):
    server = Server(CaseOutput(runs=(OUTPUT,)))
    run(
        server,
        test_file,
        "genes_daily",
        given={"postgres": {"GENES-DB-01": "before.sql"}, "environment": {"A": "yes"}},
        conf={"months": [1]},
        tables={"GENES-DB-01": [SQL]},
        files=["out.txt", "gone.txt"],
        max_seconds=9,
    )
    spec, case, seconds = server.asked
    assert (spec.workflow, seconds) == ("genes_daily", 9)
    assert case.given.postgres == {"GENES-DB-01": (test_file.with_name("before.sql"),)}
    assert (case.given.conf, case.given.environment) == ({"months": [1]}, {"A": "yes"})
    ((kind, expected),) = case.runs.items()
    assert kind == RunKind.ONCE
    assert [*expected.tables] == [Query("GENES-DB-01", SQL)]
    assert [*expected.files] == ["out.txt", "gone.txt"]


def test_what_the_case_gave(test_file):
    found = run(Server(CaseOutput(runs=(OUTPUT,))), test_file, "genes_daily")
    assert (found.state, found.log) == ("failed", "said\n")
    assert found.tasks["load[1]"] == ("success", {"rows": 2}, "", 1)
    assert found.tasks["report"] == ("failed", None, "CheckError: no", 2)
    assert found.tables == {
        "GENES-DB-01": {
            SQL: [
                {"id": "1", "name": "a, b"},
                {"id": "2", "name": None},
                {"id": "3", "name": ""},
            ]
        }
    }
    assert found.files == {"out.txt": b"x", "gone.txt": None}
    assert found.alerts == ({"event_action": "trigger"},)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"given": {"postgers": {}}}, "run_workflow: .*postgers.*did you mean postgres"),
        ({"given": {"files": ["nosuch.csv"]}}, "run_workflow: there is no file .nosuch.csv."),
        ({"given": {"files": ["../x"]}}, r"run_workflow: .*has a \.\."),
        ({"tables": {"GENES-DB-01": [SQL]}}, "run_workflow: .*GENES-DB-01"),
        ({"given": {"variables": {"a": object()}}}, "run_workflow: has a value that is no text"),
        ({"conf": {"at": datetime.timedelta()}}, "run_workflow: has a value that is no text"),
    ],
)
def test_what_cannot_be_given(test_file, options, problem):
    with pytest.raises(WorkflowError, match=f"^{problem}"):
        run(Server(None), test_file, "genes_daily", **options)


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (CaseOutput(trouble="load hung for 9 s"), "genes_daily: load hung for 9 s"),
        (CaseOutput(), "genes_daily: there was no run"),
        (
            CaseOutput(
                runs=(
                    RunOutput(
                        RunKind.ONCE,
                        "success",
                        (),
                        tables={Query("A", "B"): Captured(error="no table")},
                    ),
                )
            ),
            "A: B: no table",
        ),
    ],
)
def test_a_case_that_gave_nothing(test_file, output, problem):
    with pytest.raises(WorkflowError, match=f"^{re.escape(problem)}$"):
        run(Server(output), test_file, "genes_daily")
