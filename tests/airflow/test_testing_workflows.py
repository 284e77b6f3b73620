"""docs/testing_workflows.md: every example is run, in the order of the page."""

import json

import pytest

from rax.testing import _run_workflow
from rax.testing._drafting._text import UNVERIFIED
from tests.airflow import page_testing
from tests.airflow.laptop_testing import Laptop
from tests.airflow.page_testing import ROOT, code, parse, tables

PAGE = (ROOT / "docs/testing_workflows.md").read_text()
RAX = (ROOT / "docs/rax.md").read_text()
BLOCKS = parse("testing_workflows.md", PAGE)
# Some of them start Airflow.
pytestmark = pytest.mark.timeout(1200)


class Author(page_testing.Author):
    """Who keeps what a page writes over."""

    def __init__(self, folder):
        super().__init__(BLOCKS, Laptop(folder, {}))
        self.before = {}

    def do(self, block):
        file = self.laptop.repository / block.path
        if block.path and file.exists():
            self.before[block.path] = file.read_text()
        super().do(block)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_example(author, block):
    author.reach(block)


def test_the_first_spec_is_the_one_that_is_written(author):
    author.finish()
    (block,) = [one for one in BLOCKS if one.path == "tests/flows/genes_daily.flow.yaml"]
    assert author.before[block.path] == block.text


def test_what_is_told_to_programs(author):
    author.finish()
    status, output = author.laptop.execute(
        "rax-of-the-repository flow --json --lf -k 'the source is missing'"
    )
    found = json.loads(output)
    assert status == 0
    assert [case["state"] for case in found["cases"]] == ["passed"]
    (commands,) = [rows for rows in tables(RAX) if rows[0][0] == "command"]
    (named,) = [code(row[2]) for row in commands if row[0].startswith("`rax flow [")]
    assert named[: named.index("file")] == ["cases", *found["cases"][0]]
    assert named[-1] == [*found][-1]


def test_pytest_has_an_item_for_each_case(author):
    author.finish()
    spec = author.laptop.repository / "tests/flows/genes_daily.flow.yaml"
    text = spec.read_text()
    spec.write_text(text.replace("trigger: source.csv", "trigger: another.csv"))
    status, output = author.laptop.execute(
        "python -m pytest -p rax.testing.plugin -p no:cacheprovider -c /dev/null --rootdir=."
        " -q tests/flows/genes_daily.flow.yaml -k 'source or folder' --junit-xml=../pytest.xml"
    )
    spec.write_text(text)
    assert status == 1, output
    assert "1 failed, 1 passed" in output
    assert "FAILED tests/flows/genes_daily.flow.yaml::the source is missing" in output
    assert "tests/flows/genes_daily.flow.yaml:26: once: " in output
    assert "Traceback" not in output
    assert "_items.py" not in output
    assert (
        'name="the folder of the target is missing"'
        in (author.laptop.work / "pytest.xml").read_text()
    )


def test_a_spec_that_is_there_is_not_written_over(author):
    author.finish()
    file = author.laptop.repository / "tests/flows/trials_daily.flow.yaml"
    before = file.read_text()
    status, output = author.laptop.execute("rax-of-the-repository flow new trials_daily")
    assert (status, output) == (
        3,
        "rax: nothing is written, since there is already: tests/flows/trials_daily.flow.yaml\n",
    )
    assert file.read_text() == before
    assert UNVERIFIED not in before


def test_every_field_of_a_result_is_in_the_table():
    (rows,) = [rows for rows in tables(PAGE) if rows[0][0] == "of what it returns"]
    named = {name for row in rows for name in code(row[0])}
    assert named == {*_run_workflow.WorkflowRun.__dataclass_fields__}
    (tasks,) = [row for row in rows if "`tasks`" in row[0]]
    assert {*_run_workflow.TaskRun._fields} <= set(code(tasks[1]))
