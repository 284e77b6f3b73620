"""docs/writing_workflows.md and docs/rax.md: every example is run, in the order of the pages."""

import ast
import inspect
import json
import re
import shutil
import socket
import stat
from dataclasses import fields

import pytest

from rax import alerting, cli, errors, workflow
from rax.alerting._outcomes import State
from rax.alerting._records import Spooled
from rax.checking._finding import Finding as CheckFinding
from rax.cli._doctor import Finding
from rax.cli.run import Told
from rax.templates._repository import Result
from tests.airflow import page_testing
from tests.airflow.laptop_testing import Laptop
from tests.airflow.page_testing import (
    ROOT,
    Block,
    PageError,
    code,
    differences,
    matches,
    parse,
    tables,
)

PORT = "8421"
RELEASE = "4f0c7a1e5d1b7d6b6a7c0b8f0c39a4a0e8c5d2f1"
PAGES = {name: (ROOT / "docs" / name).read_text() for name in ("writing_workflows.md", "rax.md")}
# One of them runs Airflow for all that comes before it.
pytestmark = pytest.mark.timeout(1200)
BLOCKS = [block for name, text in PAGES.items() for block in parse(name, text)]


class Author(page_testing.Author):
    """Who has a node of production beside the laptop."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            self.port = str(free.getsockname()[1])
        self.spool = folder / "spool"
        credentials = folder / "credentials"
        laptop = Laptop(
            folder,
            {
                "RAX_ENVIRONMENT": "production",
                "RAX_RELEASE_DIR": f"{folder}/releases/{RELEASE}",
                "RAX_RELEASE_URL": "https://git.example.org/team/dags/commit/{version}",
                "RAX_CREDENTIALS_DIR": credentials,
                "RAX_ALERTING_URL": "https://localhost:1",
                "RAX_ALERTING_SPOOL": self.spool,
                "AIRFLOW__API__BASE_URL": "https://airflow.example.org",
            },
        )
        super().__init__(BLOCKS, laptop)
        credentials.mkdir(0o700)
        self.credentials = credentials
        self.line = None

    def write_credential(self, file, fields):
        file.touch(0o600)
        file.write_text(json.dumps(fields))

    def do(self, block):
        text = block.text.replace(PORT, self.port)
        block = Block(block.page, block.line, block.kind, text, block.path)
        if block.kind == "message":
            expected = json.loads(block.text)
            found = self.event() if "event_action" in expected else self.line
            assert list(differences(expected, found)) == []
            return
        if "airflow-env" in block.text:
            # Only a workflow that the node knows can be asked for.
            self.line = self.structured_line()
        super().do(block)

    def on_a_node(self, command):
        """Run it with the variables and credentials of a node of production."""
        name = "GENES-WEB-01.json"
        file = self.laptop.repository / "local/credentials" / name
        self.write_credential(self.credentials / name, json.loads(file.read_text()))
        home = self.laptop.folder / "airflow"
        if not home.exists():
            home.mkdir()
            # `rax run` has made an empty one.
            (template,) = (self.laptop.folder / ".cache/rax/databases").iterdir()
            shutil.copy(template, home / "airflow.db")
        return self.laptop.execute(f"sudo {command}")[1]

    def structured_line(self):
        """Return what the summary of a good run in production logs."""
        server = f"python -m http.server --bind localhost --directory local/data {self.port}"
        self.laptop.check(f"{server} >local/server.log 2>&1 & echo $! >local/server.pid")
        output = self.on_a_node("airflow dags test genes_daily")
        self.laptop.check("kill $(cat local/server.pid)")
        (line,) = re.findall(r'\{"kind": "workflow_summary".*\}(?= \[rax\.workflow\])', output)
        return json.loads(line)

    def event(self):
        """Return what PagerDuty is to get of a run in production whose check fails."""
        fields = {"user": "u", "host": "h", "url": "", "description": "", "metadata": {}}
        self.write_credential(self.credentials / "PAGERDUTY.json", fields | {"pass": "f" * 32})
        self.on_a_node("airflow dags test genes_daily")
        (file,) = self.spool.glob("*.json")
        return json.loads(file.read_text())["event"]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_example(author, block):
    author.reach(block)


# What the repository is like at the end


def test_credentials_stay_on_the_laptop(author):
    laptop = author.finish()
    files = sorted((laptop.repository / "local/credentials").iterdir())
    assert [file.stem for file in files] == ["GENES-DB-01", "GENES-WEB-01"]
    for path in (*files, files[0].parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    pushed = laptop.check(f"git -C {laptop.origin} ls-tree -r --name-only genes").split()
    assert not [name for name in pushed if name.startswith("local")]
    assert {block.path for block in BLOCKS if block.page == "writing_workflows.md"} - {""} == {
        name for name in pushed if name in {block.path for block in BLOCKS}
    } | {"local/configs/genes/daily.yaml", "local/data/genes.csv"}


def test_all_of_it_passes_the_check(author):
    # On the pages, the tests and cases have passed it already.
    author.finish().check("./rax check --fast")


def test_the_operator_gets_its_connection_from_the_file(author):
    laptop = author.finish()
    script = laptop.folder / "connection.py"
    script.write_text(
        "from airflow.dag_processing.dagbag import DagBag\n"
        "from airflow.sdk import BaseHook\n"
        "task = DagBag(dag_folder='dags').dags['genes_vacuum'].get_task('vacuum')\n"
        "found = BaseHook.get_connection(task.conn_id)\n"
        "print('GOT', type(task).__name__, found.conn_type, found.host, found.port, found.schema,\n"
        "      found.login, found.password == 'an/example@sign', found.extra_dejson)\n"
    )
    got = "SQLExecuteQueryOperator postgres localhost 5432 genes etl True {'sslmode': 'require'}"
    assert f"GOT {got}\n" in laptop.check(f"python {script}")


# What the tables say


def table(page, header):
    (found,) = [rows for rows in tables(PAGES[page]) if rows[0][0] == header]
    return found[1:]


def test_every_error_is_in_the_table():
    named = [name for row in table("rax.md", "error") for name in code(row[0])]
    there = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert len(named) == len(set(named))
    assert set(named) == there - {"RaxError"}


def test_every_variable_is_in_the_table():
    named = {
        name
        for row in table("rax.md", "variable")
        for cell in row
        for name in code(cell)
        if name.startswith("RAX_")
    }
    source = "".join(path.read_text() for path in (ROOT / "src/rax").rglob("*.py"))
    assert named == set(re.findall(r"\bRAX_[A-Z_]+[A-Z]\b", source))


def test_every_name_of_a_workflow_is_on_a_page():
    for name in workflow.__all__:
        assert any(re.search(rf"`[^`]*\b{name}\b", text) for text in PAGES.values()), name
    for name in ("dedup_key", "resolve", "trigger", "deliver"):
        assert name in alerting.__all__
        assert name in PAGES["rax.md"]
    (rows,) = [rows[1:] for rows in tables(PAGES["rax.md"]) if "`summary[" in rows[1][0]]
    for name in re.findall(r"summary\.(\w+)", "".join(row[0] for row in rows)):
        assert hasattr(workflow.Summary, name), name
    for name in code(rows[0][1])[1:]:
        assert name in workflow.TaskOutcome.__dataclass_fields__ or name == "value"


def test_the_functions_take_what_the_table_gives_them():
    calls = [text for row in table("rax.md", "of `rax.workflow`") for text in code(row[0])]
    for text in calls:
        call = ast.parse(text, mode="eval").body
        names = {keyword.arg: None for keyword in call.keywords}
        inspect.signature(getattr(workflow, call.func.id)).bind(*call.args, **names)
    assert len(calls) == 6


def test_every_state_of_an_alert_is_in_the_table():
    named = [name for row in table("rax.md", "`state`") for name in code(row[0])]
    assert sorted(named) == sorted(State.__args__)


def test_the_exit_codes_are_those_of_the_command():
    shown = re.search(r"Exit codes: (.*?)\.\n", PAGES["rax.md"], re.DOTALL)[1]
    parts = [" ".join(part.split()).split(" ", 1) for part in shown.split("·")]
    real = re.findall(r"^  (\d+) +(.*)$", cli.EXIT_CODES, re.MULTILINE)
    assert [code for code, _ in parts] == [code for code, _ in real]
    for (_, said), (_, text) in zip(parts, real, strict=True):
        assert text.startswith(said.split(",")[0])


def commands():
    """Return each command of the table, and the keys that its --json is said to have."""
    return {
        code(row[0])[0].removeprefix("rax "): code(row[2]) for row in table("rax.md", "command")
    }


def leaves(parser, name=()):
    """Yield the commands that a parser takes."""
    groups = [action for action in parser._actions if hasattr(action, "_name_parser_map")]
    if not groups:
        yield " ".join(name)
    for word in getattr(parser, "others", ()):
        yield " ".join([*name, word])
    for group in groups:
        for word, other in group.choices.items():
            yield from leaves(other, (*name, word))


def test_every_command_is_in_the_table():
    shown = {re.sub(r" ([A-Z]|\[).*", "", command) for command in commands()}
    assert shown == set(leaves(cli._parser()))


@pytest.mark.parametrize("command", commands())
def test_the_keys_of_json(author, command):
    laptop, keys = author.finish(), commands()[command]
    if command == "run WORKFLOW":
        # Each run takes Airflow ten seconds: test_run.py shows that these are printed.
        assert keys == [*Told._fields]
        return
    if command.startswith("flow"):
        # So does each of these: test_testing_workflows.py looks at what they print.
        return
    if command.startswith("new "):
        # They would write into the repository of the page: test_cli_new*.py show what is printed.
        printed = [field.name for field in fields(Result)]
        assert keys == (printed if "repository" in command else printed[:2])
        return
    name = "genes.daily" if command.startswith("config") else "GENES-DB-01"
    words = re.sub(r" \[(?!NAME).*", "", re.sub(r"\[?NAME.*", name, command))
    if command == "credentials set NAME":
        words = f"{words} --description again"
    status, output = laptop.execute(f"rax {words} --json")
    assert status in (0, 1), output
    found = json.loads(output)
    if command == "config list":
        assert (found, keys) == (["genes.daily"], [])
    elif command == "credentials list":
        assert [*found[0]] == keys
    elif command == "credentials show NAME":
        assert {*found} == {*keys, *commands()["credentials list"]}
    elif command == "credentials doctor [NAME …]":
        assert keys == [*found, *Finding._fields]
    elif command == "status":
        of_each = ["component", "kind", "problem"]
        assert keys == [*found, *of_each]
        assert [*found["problems"][0]] == of_each
    elif command == "check [PATH]":
        assert keys == [*found, *found["stages"][0], *CheckFinding._fields]
    elif command == "repository check [PATH]":
        assert keys == [
            *list(found)[:5],
            *CheckFinding._fields[:2],
            "problem",
            "advice",
            *list(found)[5:],
        ]
    elif command == "alerts status":
        assert keys == [*list(found)[:-1], *Spooled._fields, "dropped"]
    else:
        assert keys == [*found]


# The tests themselves


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```text\nexample\n```", "a.md:1: no test runs this"),
        ("```\n$ true\n```", "a.md:1: no test runs this"),
        ("It:\n\n```yaml\na: 1\n```", "a.md:3: no test runs this"),
        ('```json\n{"user": "etl"}\n```', "a.md:1: no test runs this"),
        ("`lib/a.py` is a file.\n\n```sh\ntrue\n```", "a.md:3: no test runs this"),
        ("`lib/a.py`:\n\nIt:\n\n```yaml\na: 1\n```", "a.md:5: no test runs this"),
        ("~~~text\nexample\n~~~", "a.md:1: no test runs this"),
        ("````text\n```\n````", "a.md:1: no test runs this"),
        ("1. a\n\n   ```text\n   b\n   ```", "a.md:3: no test runs this"),
        ("It:\n\n    example", "a.md:3: code without a fence"),
        ("```console\ntrue\n```", "a.md:1: the commands of a console begin with"),
        ("```console\n```", "a.md:1: a console without commands"),
        ("```console\n$ true\n", "a.md:1: the block has no end"),
        ("  ```console\n$ true\n  ```", "a.md:1: the block ends before its fence"),
        ("`../a.py`:\n```python\n```", "a.md:2: ../a.py is not in the repository"),
        ("`/a.py`:\n```python\n```", "a.md:2: /a.py is not in the repository"),
    ],
)
def test_a_page_with_an_example_that_no_test_runs(text, message):
    with pytest.raises(PageError, match=f"^{re.escape(message)}"):
        parse("a.md", text)


def test_what_a_page_is_made_of():
    text = (
        "`lib/a.py` has\nit:\n\n```python\nx = 1\n```\n"
        "1. Run\n   ```console\n   $ a\n   $ b\n   c\n   d\n   ```\n"
        '```python\n>>> 1\n1\n```\n```json\n{"kind": 1}\n```\n'
    )
    found = parse("a.md", text)
    assert [(block.kind, block.path, block.line) for block in found] == [
        ("file", "lib/a.py", 4),
        ("console", "", 8),
        ("snippet", "", 14),
        ("message", "", 18),
    ]
    assert found[1].commands == [["a", None], ["b", "c\nd\n"]]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("console", "$ false\n"),
        ("console", "$ echo a\nb\n"),
        ("console", "$ sudo nosuch\n"),
        ("console", "$ sh -c 'exit 3'\n"),
        ("console", "$ ./rax nosuch\n"),
        ("console", "$ ./rax credentials set A\nPassword (not shown): \n"),
        ("snippet", ">>> 1\n2\n"),
        ("snippet", "raise SystemExit(1)\n"),
        ("file", "x = 1\n"),
    ],
)
def test_an_example_that_is_wrong_fails(tmp_path, kind, text):
    laptop = Laptop(tmp_path, {})
    try:
        with pytest.raises(AssertionError):
            laptop.run(Block("a.md", 1, kind, text, "nosuch/a.py"))
        assert laptop.execute("echo here")[1] == "here\n"
    finally:
        laptop.close()


@pytest.mark.parametrize(
    ("expected", "output", "is_same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a", True),
        ("a\n", "a\nb\n", False),
        ("…\n", "", True),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n…\nd\n", "a\nb\n", False),
        ("a … c\n", "a b c\n", True),
        ("a  b\n", "a    b\n", True),
        ("a  b\n", "a b\n", False),
        ("  a\n", "   a\n", False),
        ("a … c\n", "a b\nc\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_what_an_ellipsis_stands_for(expected, output, is_same):
    assert matches(expected, output) is is_same


@pytest.mark.parametrize(
    ("expected", "found", "path"),
    [
        ({"a": 1}, {"a": 2}, ".a"),
        ({"a": 1}, {"a": "1"}, ".a"),
        ({"a": 1}, {"a": 1, "b": 1}, ""),
        ({"a": [1]}, {"a": [1, 2]}, ".a"),
        ({"a": [{"b": "x…"}]}, {"a": [{"b": "yz"}]}, ".a[0].b"),
        ({"run_id": "manual__2026"}, {"run_id": "scheduled__2026"}, ".run_id"),
        ({"source": "worker1"}, {"source": "another"}, ".source"),
        ({"duration": 1.0}, {"duration": None}, ".duration"),
    ],
)
def test_a_message_that_differs(expected, found, path):
    assert [text.partition(":")[0] for text in differences(expected, found)] == [path]


def test_a_message_of_another_run():
    expected = {"run_id": "manual__2026-01", "duration": 9.1, "a": "x…", "b": None}
    found = {"run_id": "manual__2027-02", "duration": 0.3, "a": "xyz", "b": None}
    assert list(differences(expected, found)) == []
