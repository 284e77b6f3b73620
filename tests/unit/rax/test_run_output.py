"""What `rax run` shows of a run: the lines of its author, and what is wrong, without a secret."""

import json
from pathlib import Path

import pytest

from rax.airflow._run_output import Output
from rax.alerting._secrets import secret_spellings

ROOT = Path("/work/dags")
SECRET = "s3cr3t canary"
FIELDS = {"user": "u", "pass": SECRET, "host": "h", "url": "", "description": "", "metadata": {}}


class Seen:
    """An Output, and all that it has shown."""

    def __init__(self, *, everything=False):
        self.text = ""
        self.output = Output(ROOT, secret_spellings([FIELDS]), self.add, everything=everything)

    def add(self, text):
        self.text += text
        assert SECRET not in self.text

    def log(self, event, logger="lib.genes", level="info", **others):
        head = {"timestamp": "2026-01-31T08:00:00Z", "level": level, "event": event}
        self.output.line(json.dumps({**head, "logger": logger, **others}))

    def step(self, step, task, index=-1):
        text = f"[DAG TEST] {step} task_id={task} map_index={index}"
        self.log(text, "airflow.sdk.definitions.dag")


@pytest.fixture
def seen():
    return Seen()


def error(kind, value, *frames):
    shown = [{"filename": file, "lineno": line, "name": name} for file, line, name in frames]
    return {"exc_type": kind, "exc_value": value, "frames": shown}


@pytest.mark.parametrize(
    "logger",
    ["lib.genes", "unusual_prefix_27f1_daily", "airflow.task", "rax.workflow", "__main__", "tasks",
     "airflow.task.operators.lib.operators.Load", "airflow_client", "root"],
)  # fmt: skip
def test_what_an_author_logs_is_shown(seen, logger):
    seen.log("hello", logger)
    assert seen.text == "hello\n"


@pytest.mark.parametrize(
    "logger",
    ["airflow.models.dagrun", "airflow", "task", "alembic.runtime.migration", "rax.alerting",
     "airflow.task.operators.rax.airflow.workflow.CheckOperator", "httpx", "airflow.task.hooks.x",
     "airflow.task.operators.airflow.providers.standard.decorators.python._Python"],
)  # fmt: skip
def test_what_airflow_logs_is_shown_where_something_is_wrong(seen, logger):
    seen.log("hello", logger)
    seen.log("hello", logger, "debug")
    assert seen.text == ""
    seen.log("careful", logger, "warning")
    assert seen.text == "WARNING: careful\n"


def test_what_is_printed_is_shown_below_its_task(seen):
    seen.output.line("before")
    seen.step("starting", "load", 1)
    assert (seen.output.task, seen.output.is_begun) == ("load[1]", True)
    seen.output.line("1 row")
    seen.output.line("  2 rows")
    seen.step("end", "load", 1)
    seen.step("starting", "quiet")
    seen.step("end", "quiet")
    seen.step("starting", "report")
    seen.log("a\nb")
    assert seen.output.task == "report"
    assert seen.text == "before\nload[1]\n  1 row\n    2 rows\nreport\n  a\n  b\n"


def test_of_an_error_the_authors_own_frames_are_shown(seen):
    cause = error("KeyError", "'gene'", ("/work/dags/lib/genes.py", 12, "read"))
    what = error(
        "ValueError",
        "no gene",
        ("/usr/lib/airflow/task_runner.py", 9, "run"),
        ("/work/dags/dags/genes.py", 3, "load"),
    )
    seen.log("Task failed with exception", "task", "error", error_detail=[what, cause])
    assert seen.text.splitlines() == [
        "ERROR: KeyError: 'gene'",
        "  lib/genes.py:12 in read",
        "ValueError: no gene",
        "  dags/genes.py:3 in load",
    ]


def test_the_report_and_its_line_are_kept_for_the_end(seen):
    report = "genes (default), run manual__1: failed after 1.0 s\nTASK  STATE"
    seen.step("starting", "report")
    seen.log(report, "rax.workflow", "error")
    seen.log('{"kind": "workflow_summary", "state": "failed"}', "rax.workflow")
    told = [error("RunFailedError", "genes (default) failed: load")]
    seen.log("Task failed with exception", "task", "error", error_detail=told)
    assert seen.text == ""
    assert seen.output.report == report
    assert seen.output.summary == {"kind": "workflow_summary", "state": "failed"}


def test_what_is_wrong_before_the_first_task_is_said_once(seen):
    failed = [error("ModuleNotFoundError", "No module named 'x'", ("/work/dags/dags/a.py", 2, "m"))]
    for _ in range(2):
        seen.log("Failed to import: /work/dags/dags/a.py", "airflow.x", "error", exception=failed)
        seen.log("Error loading DAG from a.py: No module", "airflow.x", "error")
    assert seen.text.splitlines() == [
        "ERROR: Failed to import: /work/dags/dags/a.py",
        "ModuleNotFoundError: No module named 'x'",
        "  dags/a.py:2 in m",
    ]
    seen.step("starting", "load")
    seen.output.line("twice")
    seen.output.line("twice")
    assert seen.text.endswith("load\n  twice\n  twice\n")


def test_waiting_for_a_retry_is_said_by_nobody(seen):
    seen.log("No tasks to run. unrunnable tasks: {x}", "airflow.sdk.definitions.dag", "warning")
    assert seen.text == ""


def test_secrets_are_masked_however_they_are_written(seen):
    seen.output.line(f"a {SECRET} b")
    seen.log(f"https://u:{SECRET.replace(' ', '%20')}@h/")
    seen.log("Task failed", "task", "error", exception=[error("ValueError", f"x {SECRET}")])
    seen.log(f"genes (default), run m: failed\n{SECRET}", "rax.workflow")
    seen.log(f'{{"kind": "workflow_summary", "problem": "{SECRET}"}}', "rax.workflow")
    assert seen.text.count("***") == 3
    assert SECRET not in f"{seen.output.report} {seen.output.summary}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("no credential 'GENES-01' in /x: it has A", "GENES-01"),
        ("The conn_id `GENES-DB-01` isn't defined", "GENES-DB-01"),
        ("no credential '$(reboot)' in /x", None),
        ("no credential 'a b' in /x", None),
    ],
)
def test_a_missing_credential_is_remembered(text, name):
    for say in (
        lambda seen: seen.output.line(text),
        lambda seen: seen.log(text, "airflow.x"),
        lambda seen: seen.log("x", "task", "error", exception=[error("X", text)]),
    ):
        seen = Seen()
        say(seen)
        assert list(seen.output.missing) == ([name] if name else [])


def test_all_lines_are_shown_on_request():
    seen = Seen(everything=True)
    seen.log("hello", "airflow.models.dagrun")
    seen.log("genes (default), run m: success", "rax.workflow")
    assert seen.text.splitlines() == [
        "INFO     airflow.models.dagrun: hello",
        "INFO     rax.workflow: genes (default), run m: success",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        '{"timestamp": 1, "level": 1, "event": null, "logger": []}',
        '{"timestamp": 1, "level": "error", "event": "e", "logger": "l", "exception": "text"}',
        '{"timestamp": 1, "level": "error", "event": "e", "logger": "l", "exception": [1, {}]}',
        '{"timestamp": 1, "level": "error", "event": "e", "logger": "l",'
        ' "exception": [{"exc_type": 1, "frames": [1, {"filename": null}]}]}',
        '{"timestamp": 1, "level": "info", "logger": "rax.workflow",'
        ' "event": "{\\"kind\\": \\"workflow_summary\\""}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ud800",
    ],
    ids=range(10),
)
def test_a_line_that_only_looks_like_airflows(line):
    for everything in (False, True):
        Seen(everything=everything).output.line(line)
