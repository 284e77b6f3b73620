"""A spec to begin with: it has the form of one, and says what nobody has said yet."""

import ast
import sys
import types
from dataclasses import dataclass

import pytest

from rax.checking._files._calls import look_at
from rax.config import CredentialName
from rax.testing._drafting._text import UNVERIFIED, draft
from rax.testing._drafting._workflow import (
    HTTP,
    POSTGRES,
    UNKNOWN,
    Task,
    Workflow,
    named_by_schemas,
)
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


@dataclass(frozen=True)
class Schema:
    """What a config has: one of the two names is that of a credential."""

    source: CredentialName
    label: str


@pytest.mark.parametrize(
    "source",
    [
        "from lib.loads import Schema\nget_config('loads', Schema)",
        "import lib.loads\nget_config('loads', lib.loads.Schema)",
        "class Schema: pass\nget_config('loads', Schema)",
    ],
)
def test_the_type_of_a_field_tells_what_a_credential_is(source, tmp_path, monkeypatch):
    """The name itself need not look like one."""
    (tmp_path / "loads.yaml").write_text("source: warehouse\nlabel: daily\n")
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path))
    for name, file in {"lib": None, "lib.loads": "lib/loads.py", "unusual_1": "dags/d.py"}.items():
        module = types.ModuleType(name)
        module.__file__, module.Schema = file, Schema
        monkeypatch.setitem(sys.modules, name, module)
    module = look_at(ast.parse(f"from rax.config import get_config\n{source}"))
    assert [*named_by_schemas(module, "dags/d.py")] == ["warehouse"]


def test_what_is_no_schema_names_no_credential(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path))
    source = "from rax.config import get_config\nget_config('a', lost.Schema)\nget_config('a', f())"
    assert [*named_by_schemas(look_at(ast.parse(source)), "dags/d.py")] == []
