"""A spec to begin with: it has the form of one, and says what nobody has said yet."""

import pytest

from rax.testing._drafting._text import UNVERIFIED, draft
from rax.testing._drafting._workflow import HTTP, POSTGRES, UNKNOWN, Task, Workflow
from rax.testing._model import ALL, RunKind, TaskKey
from rax.testing._specs import read

WORKFLOW = Workflow(
    "genes_daily",
    (
        Task("source_answers", "check"),
        Task("load", is_mapped=True),
        Task("group.load"),
        Task("on", "check"),
        Task("report", "summary"),
    ),
    ("genes.daily", "null.daily"),
    (("GENES-DB-01", POSTGRES), ("GENES-WEB-01", HTTP), ("GENES-FTP-01", UNKNOWN)),
)


@pytest.fixture
def drafted(tmp_path):
    """Return the spec of a workflow, and its text."""

    def write(workflow):
        file = tmp_path / f"tests/flows/{workflow.dag_id}.flow.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(draft(workflow))
        return read(file, tmp_path), file.read_text()

    return write


def test_each_task_has_its_line(drafted):
    spec, _ = drafted(WORKFLOW)
    assert spec.workflow == "genes_daily"
    (good, *_) = spec.cases
    assert [*good.runs] == [*RunKind]
    tasks = good.runs[RunKind.ONCE].tasks
    assert [task.key for task in tasks] == [
        TaskKey("source_answers"),
        TaskKey("load", ALL),
        TaskKey("group.load"),
        TaskKey("on"),
        TaskKey("report"),
    ]
    assert {task.unverified for task in tasks} == {UNVERIFIED}


def test_each_check_and_each_source_fails_in_a_case(drafted):
    spec, text = drafted(WORKFLOW)
    assert [case.name for case in spec.cases] == [
        "good",
        "source_answers fails",
        "on fails",
        "GENES-DB-01 is down",
        "GENES-WEB-01 is down",
        "empty target",
    ]
    _, check, _, down, *_ = spec.cases
    assert check.runs[RunKind.ONCE].check == "source_answers"
    assert check.runs[RunKind.ONCE].alerts[0].text == "check source_answers"
    assert down.given.down == {"GENES-DB-01"}
    # What is behind it is not known, so that its case would not be one.
    assert "  # GENES-FTP-01 is down:\n" in text


def test_what_is_known_is_given(drafted):
    spec, _ = drafted(WORKFLOW)
    given = spec.cases[0].given
    assert given.postgres == {"GENES-DB-01": ()}
    assert [*given.http] == ["GENES-WEB-01"]
    assert given.configs == {"genes.daily": {}, "null.daily": {}}


def test_a_workflow_of_which_nothing_is_known(drafted):
    spec, text = drafted(Workflow("x", (Task("summary", "summary"),)))
    assert [case.name for case in spec.cases] == ["good", "empty target"]
    assert "config:" not in text
