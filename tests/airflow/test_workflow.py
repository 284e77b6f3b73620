"""check → task → summary, run by Airflow: states, logs and alerts of everything that can happen."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.bases.xcom import BaseXCom

from rax.airflow import _outcomes
from rax.alerting._events import trigger_event
from tests.airflow.workflow_testing import (
    BAD_CHECK,
    BAD_LOAD,
    FAILED,
    GOOD_CHECK,
    GOOD_LOAD,
    REPORT,
    RESOLVED,
    body,
)

# What is written, the run's state, the tasks' states, and the alerts.
OUTCOMES = {
    "fine": (
        body(GOOD_CHECK, GOOD_LOAD),
        "success",
        {"source": "success", "load": "success", "summary": "success"},
        RESOLVED,
    ),
    "check fails": (
        body(
            "@check\ndef source():\n    raise CheckError('EBI-01 at db:5432 does not answer')",
            GOOD_LOAD,
        ),
        "failed",
        {"source": "failed", "load": "upstream_failed", "summary": "failed"},
        [("trigger", f"{FAILED}check source: CheckError: EBI-01 at db:5432 does not answer")],
    ),
    "one of two checks fails": (
        body(
            GOOD_CHECK, "@check\ndef target():\n    raise AirflowFailException('full')", GOOD_LOAD
        ),
        "failed",
        {
            "source": "success",
            "target": "failed",
            "load": "upstream_failed",
            "summary": "failed",
        },
        [("trigger", f"{FAILED}check target: AirflowFailException: full")],
    ),
    "check ends the process": (
        body("@check\ndef source():\n    raise SystemExit(3)", GOOD_LOAD),
        "failed",
        {"source": "failed", "load": "upstream_failed", "summary": "failed"},
        [("trigger", f"{FAILED}check source: SystemExit: 3")],
    ),
    "check is interrupted": (
        body("@check\ndef source():\n    raise KeyboardInterrupt", GOOD_LOAD),
        "failed",
        {"source": "failed", "load": "upstream_failed", "summary": "failed"},
        [("trigger", f"{FAILED}check source: KeyboardInterrupt")],
    ),
    "check hangs": (
        body(
            "import time\n@check(execution_timeout=timedelta(milliseconds=200))\n"
            "def source():\n    time.sleep(60)",
            GOOD_LOAD,
        ),
        "failed",
        {"source": "failed", "load": "upstream_failed", "summary": "failed"},
        [("trigger", re.compile(re.escape(f"{FAILED}check source: AirflowTaskTimeout: Timeout")))],
    ),
    "check skips the work": (
        body("@check\ndef source():\n    raise AirflowSkipException('nothing new')", GOOD_LOAD),
        "success",
        {"source": "skipped", "load": "skipped", "summary": "success"},
        [],
    ),
    "task fails": (
        body(GOOD_CHECK, "@task\ndef load():\n    raise ValueError('no rows\\nfor 2013')\nload()"),
        "failed",
        {"source": "success", "load": "failed", "summary": "failed"},
        [("trigger", f"{FAILED}load: ValueError: no rows")],
    ),
    "task fails, and what is downstream does not run": (
        body(
            "@task\ndef load():\n    raise OSError(2, 'No such file')\n"
            "@task\ndef index(rows):\n    pass\nindex(load())"
        ),
        "failed",
        {"load": "failed", "index": "upstream_failed", "summary": "failed"},
        [("trigger", f"{FAILED}load: FileNotFoundError: [Errno 2] No such file")],
    ),
    "summary fails": (
        body(GOOD_LOAD, "@summary\ndef report():\n    raise ValueError('2 rows are missing')"),
        "failed",
        {"load": "success", "report": "failed"},
        [("trigger", f"{FAILED}report: ValueError: 2 rows are missing")],
    ),
    "summary ends the process": (
        body(GOOD_LOAD, "@summary\ndef report():\n    raise SystemExit"),
        "failed",
        {"load": "success", "report": "failed"},
        [("trigger", f"{FAILED}report: SystemExit")],
    ),
    "summary hangs": (
        body(
            GOOD_LOAD,
            "import time\n@summary(execution_timeout=timedelta(milliseconds=500))\n"
            "def report():\n    time.sleep(60)",
        ),
        "failed",
        {"load": "success", "report": "failed"},
        [("trigger", re.compile(re.escape(f"{FAILED}report: AirflowTaskTimeout: Timeout")))],
    ),
    "summary returns what Airflow cannot keep": (
        body(GOOD_LOAD, "@summary\ndef report():\n    return {'connection': object()}"),
        "failed",
        {"load": "success", "report": "failed"},
        [("trigger", re.compile(re.escape(f"{FAILED}report: TypeError: Cannot serialize object")))],
    ),
    "summary skips itself": (
        body(GOOD_LOAD, "@summary\ndef report():\n    raise AirflowSkipException"),
        "success",
        {"load": "success", "report": "success"},
        RESOLVED,
    ),
    "summary skips itself when a task has failed": (
        body(
            "@task\ndef load():\n    raise ValueError('no rows')\nload()",
            "@summary\ndef report():\n    raise AirflowSkipException",
        ),
        "failed",
        {"load": "failed", "report": "failed"},
        [("trigger", f"{FAILED}load: ValueError: no rows")],
    ),
    "task and summary fail": (
        body(
            "@task\ndef load():\n    raise ValueError('no rows')\nload()",
            "@summary\ndef report():\n    raise ValueError('12 rows are missing')",
        ),
        "failed",
        {"load": "failed", "report": "failed"},
        [("trigger", f"{FAILED}load: ValueError: no rows (and 1 more)")],
    ),
    "check and summary fail": (
        body(
            "@check\ndef source():\n    raise CheckError('down')",
            GOOD_LOAD,
            "@summary\ndef report():\n    raise ValueError('12 rows are missing')",
        ),
        "failed",
        {"source": "failed", "load": "upstream_failed", "report": "failed"},
        [("trigger", f"{FAILED}check source: CheckError: down")],
    ),
    "an instance of a mapped task fails": (
        body(
            "@task\ndef load(month):\n    if month == 2:\n        raise ValueError(month)\n"
            "load.expand(month=[1, 2, 3])"
        ),
        "failed",
        {"load[0]": "success", "load[1]": "failed", "load[2]": "success", "summary": "failed"},
        [("trigger", f"{FAILED}load[1]: ValueError: 2")],
    ),
    "a mapped check fails": (
        body(
            "@check\ndef source(name):\n    if name == 'b':\n        raise CheckError(name)\n"
            "source.expand(name=['a', 'b'])",
            GOOD_LOAD,
        ),
        "failed",
        {
            "source[0]": "success",
            "source[1]": "failed",
            "load": "upstream_failed",
            "summary": "failed",
        },
        [("trigger", f"{FAILED}check source[1]: CheckError: b")],
    ),
    "nothing to map over": (
        body(
            "@task\ndef months():\n    return []\n"
            "@task\ndef load(month):\n    pass\nload.expand(month=months())"
        ),
        "success",
        {"months": "success", "load": "skipped", "summary": "success"},
        [],
    ),
    "a short circuit": (
        body(
            GOOD_CHECK,
            "@task.short_circuit\ndef is_first():\n    return False\n"
            "@task\ndef load():\n    pass\nis_first() >> load()",
        ),
        "success",
        {
            "source": "success",
            "is_first": "success",
            "load": "skipped",
            "summary": "success",
        },
        [],
    ),
    "a branch": (
        body(
            "@task.branch\ndef which():\n    return 'full'\n"
            "@task\ndef full():\n    pass\n@task\ndef part():\n    pass\n"
            "which() >> [full(), part()]"
        ),
        "success",
        {"which": "success", "full": "success", "part": "skipped", "summary": "success"},
        RESOLVED,
    ),
    "a task group": (
        body(
            GOOD_CHECK,
            "@task_group\ndef ebi_group():\n    @task\n    def a():\n        pass\n"
            "    @task\n    def b():\n        raise ValueError('no')\n    a() >> b()\nebi_group()",
        ),
        "failed",
        {
            "source": "success",
            "ebi_group.a": "success",
            "ebi_group.b": "failed",
            "summary": "failed",
        },
        [("trigger", f"{FAILED}ebi_group.b: ValueError: no")],
    ),
    "a mapped task group": (
        body(
            "@task_group\ndef group(month):\n    @task\n    def a(month):\n"
            "        if month == 2:\n            raise ValueError('no')\n    a(month)\n"
            "group.expand(month=[1, 2])"
        ),
        "failed",
        {"group.a[0]": "success", "group.a[1]": "failed", "summary": "failed"},
        [("trigger", f"{FAILED}group.a[1]: ValueError: no")],
    ),
    "setup and teardown": (
        body(
            GOOD_CHECK,
            "@setup\ndef make():\n    pass\n@teardown\ndef drop():\n    pass\n"
            "@task\ndef load():\n    raise ValueError('no')\n"
            "make_ = make()\nmake_ >> load() >> drop().as_teardown(setups=make_)",
        ),
        "failed",
        {
            "source": "success",
            "make": "success",
            "load": "failed",
            "drop": "success",
            "summary": "failed",
        },
        [("trigger", f"{FAILED}load: ValueError: no")],
    ),
    "a check fails before setup and teardown": (
        body(
            "@check\ndef source():\n    raise CheckError('down')",
            "@setup\ndef make():\n    pass\n@teardown\ndef drop():\n    pass\n"
            "@task\ndef load():\n    pass\n"
            "make_ = make()\nmake_ >> load() >> drop().as_teardown(setups=make_)",
        ),
        "failed",
        {
            "source": "failed",
            "make": "upstream_failed",
            "load": "upstream_failed",
            "drop": "upstream_failed",
            "summary": "failed",
        },
        [("trigger", f"{FAILED}check source: CheckError: down")],
    ),
    "a teardown fails": (
        body(
            "@teardown\ndef drop():\n    raise ValueError('locked')\n"
            "@task\ndef load():\n    pass\nload() >> drop()",
        ),
        "failed",
        {"load": "success", "drop": "failed", "summary": "failed"},
        [("trigger", f"{FAILED}drop: ValueError: locked")],
    ),
    "a retry that succeeds": (
        body(
            "@task(retries=1, retry_delay=timedelta(0))\ndef load(ti=None):\n"
            "    if ti.try_number == 1:\n        raise ValueError('busy')\nload()"
        ),
        "success",
        {"load": "success", "summary": "success"},
        RESOLVED,
    ),
    "a task returns what JSON does not have": (
        body("@task\ndef load():\n    return {'rows': float('nan')}\nload()"),
        "failed",
        {"load": "failed", "summary": "failed"},
        [
            (
                "trigger",
                re.compile(re.escape(f"{FAILED}load: ValueError: Out of range float values")),
            )
        ],
    ),
    "fail_fast": (
        body(
            "@task\ndef a():\n    raise ValueError('no')\n@task\ndef b():\n    pass\na() >> b()",
            options=", fail_fast=True",
        ),
        "failed",
        {"a": "failed", "b": "skipped", "summary": "failed"},
        [("trigger", f"{FAILED}a: ValueError: no")],
    ),
    "only checks": (
        body(GOOD_CHECK),
        "success",
        {"source": "success", "summary": "success"},
        RESOLVED,
    ),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(name, run):
    text, state, states, events = OUTCOMES[name]
    result = run(text)
    assert (result.state, result.states) == (state, states)
    assert len(result.events) == len(events)
    for (action, said), (expected, pattern) in zip(result.events, events, strict=True):
        assert action == expected
        assert pattern.match(said) if isinstance(pattern, re.Pattern) else said == pattern
    # What the log says is what the run is, unless its end came after the summary's word.
    if name != "summary returns what Airflow cannot keep":
        assert (result.line["state"] == "failed") == (state == "failed")


def test_the_structured_line(run, monkeypatch):
    monkeypatch.setenv("RAX_RELEASE_DIR", f"/home/airflow/releases/{'a' * 40}")
    monkeypatch.setenv("RAX_RELEASE_URL", "https://git.example.org/dags/commit/{version}")
    monkeypatch.setenv("RAX_ENVIRONMENT", "production")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/")
    result = run(
        body(
            GOOD_CHECK,
            "@task\ndef load(month):\n    if month == 2:\n        raise ValueError('no')\n"
            "    return {'rows': month}\nload.expand(month=[1, 2, 3])",
            "@summary\ndef report():\n    return {'checked': 3}",
        )
    )
    line = result.line
    assert line.pop("started")
    assert line.pop("duration") > 0
    for totals in line["tasks"].values():
        assert totals.pop("duration") > 0
    assert line == {
        "kind": "workflow_summary",
        "workflow": "ebi",
        "environment": "production",
        "run_id": result.run_id,
        "release": "a" * 40,
        "release_url": f"https://git.example.org/dags/commit/{'a' * 40}",
        "url": "https://airflow.example.com/dags/ebi/runs/"
        + result.run_id.replace(":", "%3A").replace("+", "%2B"),
        "state": "failed",
        "tasks": {
            "source": {"states": {"success": 1}, "rows": 3, "try_number": 1},
            "load": {"states": {"success": 2, "failed": 1}, "rows": 4, "try_number": 1},
        },
        "rows": {"source": 3, "load": 4},
        "failures": [{"task": "load[1]", "state": "failed", "reason": "ValueError: no"}],
        "problem": "",
        "gaps": [],
        "details": {"checked": 3},
    }


def test_the_report(run):
    result = run(body(GOOD_CHECK, BAD_LOAD))
    report = re.sub(r"\d+\.\d", "0.1", result.report.replace(result.run_id, "RUN"))
    assert report.splitlines() == [
        "ebi (default), run RUN: failed after 0.1 s",
        "TASK    STATE    TRIES  SECONDS  ROWS  RESULT",
        'source  success  1      0.1      3     {"rows": 3}',
        "load    failed   1      0.1      -     ValueError: no rows",
        "failed: load: ValueError: no rows",
    ]


def event(sent):
    """Return what PagerDuty gets of a trigger."""
    (_, (summary, severity, source, details, key), options) = sent
    return trigger_event(summary, severity, source, details, key, links=options["links"])[0]


@pytest.mark.parametrize("days", [-300, 300])
def test_a_run_for_another_date_began_when_its_tasks_did(run, days):
    """Airflow's dag.test() takes the logical date for the start of the run."""
    now = datetime.now(UTC)
    result = run(body(GOOD_CHECK, GOOD_LOAD), logical_date=now + timedelta(days=days))
    assert 0 < result.line["duration"] < 600
    assert now < datetime.fromisoformat(result.line["started"]) < datetime.now(UTC)


def test_the_event_of_a_check(run, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    monkeypatch.setenv("RAX_ENVIRONMENT", "production")
    result = run(body(BAD_CHECK, GOOD_LOAD))
    (sent,) = result.sent
    made = event(sent)
    assert made["payload"].pop("timestamp")
    assert made["payload"].pop("source")
    url = _outcomes.run_url("ebi", result.run_id)
    assert made == {
        "event_action": "trigger",
        "dedup_key": "production/ebi",
        "links": [{"href": url, "text": "The run in Airflow"}],
        "payload": {
            "summary": "ebi (production) failed: check source: CheckError: down",
            "severity": "error",
            "custom_details": {
                "workflow": "ebi",
                "environment": "production",
                "run_id": result.run_id,
                "run": url,
                "release": None,
                "release_url": None,
                "check": "source",
                "reason": "CheckError: down",
            },
        },
    }


def test_the_event_of_a_summary(run):
    result = run(body(GOOD_CHECK, BAD_LOAD, "@summary\ndef report():\n    return {'a': 1}"))
    (sent,) = result.sent
    made = event(sent)
    assert (made["dedup_key"], "links" in made) == ("default/ebi", False)
    assert made["payload"]["custom_details"] == {
        "workflow": "ebi",
        "environment": "default",
        "run_id": result.run_id,
        "run": None,
        "release": None,
        "release_url": None,
        "failures": ["load: ValueError: no rows"],
        "report": result.report,
        "details": {"a": 1},
    }


@pytest.mark.parametrize(
    ("outcome", "events"),
    [("sent", 1), ("spooled", 1), ("off", 2), ("refused", 2), ("lost", 2)],
)
def test_the_summary_tells_what_a_check_could_not(run, alerts, outcome, events):
    alerts.outcome = outcome
    result = run(body(BAD_CHECK, GOOD_LOAD))
    assert result.events == [("trigger", f"{FAILED}check source: CheckError: down")] * events


@pytest.mark.parametrize("text", [body(BAD_CHECK, GOOD_LOAD), body(BAD_LOAD), body(GOOD_LOAD)])
def test_alerting_that_breaks_its_word_changes_nothing(run, alerts, text):
    expected = run(text)
    alerts.error = RuntimeError("out of threads")
    result = run(text)
    assert (result.state, result.states) == (expected.state, expected.states)
    assert "The alert was not sent" in result.lines


def test_the_next_good_run_resolves(run):
    bad, good = body(BAD_CHECK, GOOD_LOAD), body(GOOD_CHECK, GOOD_LOAD)
    keys = [run(text).sent[0] for text in (bad, good)]
    assert [keys[0][1][4], keys[1][1][0]] == ["default/ebi"] * 2


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        ("get_credentials('EBI-01')['pass']", "***"),
        ("{'url': f\"postgres://etl:{get_credentials('EBI-01')['pass']}@db\"}", None),
        ("'x' * 75 + get_credentials('EBI-01')['pass']", None),
        ("'x' * 10_000_000", "x" * 79 + "…"),
        ("list(range(1_000_000))", None),
        ("{'rows': True, 'Ü': None}", '{"rows": true, "Ü": null}'),
        ("'a\\n\\x1b[31mb'", "a \\x1b[31mb"),
    ],
)
def test_what_a_task_returned(run, credentials, returned, shown):  # noqa: ARG001 - a node's
    load = "@task\ndef load():\n    from rax.credentials import get_credentials\n"
    result = run(body(f"{load}    return {returned}\nload()"))
    assert result.state == "success"
    row = next(line for line in result.report.splitlines() if line.startswith("load"))
    told = re.split(r" {2,}", row, maxsplit=5)[5]
    assert len(told) <= 80
    assert shown is None or told == shown
    assert "hunter2" not in result.report + json.dumps(result.line)


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    empty = {"user": "etl", "host": "db", "url": "", "description": "", "metadata": {}}
    file = tmp_path / "EBI-01.json"
    file.touch(0o600)
    file.write_text(json.dumps(empty | {"pass": "hunter2 is secret"}))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))


@pytest.mark.parametrize("part", ["check", "task", "summary"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ValueError(f\"login {get_credentials('EBI-01')['pass']} failed\")", "login *** failed"),
        ("ValueError('x' * 490 + get_credentials('EBI-01')['pass'])", "x" * 100),
        ("Rude()", "Rude: its message cannot be shown"),
    ],
)
def test_a_hostile_error(run, credentials, part, error, said):  # noqa: ARG001 - a node's
    text = (
        "class Rude(Exception):\n    def __str__(self):\n        raise SystemExit\n"
        f"@{part}\ndef fails():\n    from rax.credentials import get_credentials\n    raise {error}"
    )
    call = "\nfails()" if part == "task" else ""
    if error == "Rude()":
        text = text.replace("raise SystemExit", "raise RuntimeError")
    result = run(body(text + call))
    assert result.state == "failed"
    ((_, headline),) = result.events
    assert said in headline
    told = "\n".join(result.lines) + repr(result.sent)
    assert "hunter2" not in told


def test_what_the_summary_is_given(run, capsys):
    result = run(
        body(
            GOOD_CHECK,
            "@task(retries=1, retry_delay=timedelta(0))\ndef load(month, ti=None):\n"
            "    if ti.try_number == 1:\n        raise ValueError('busy')\n"
            "    return None if month == 2 else {'rows': month}\nload.expand(month=[1, 2, 3])",
            REPORT.format(
                "summary.rows, summary.values('load'), summary['load'][2].try_number,"
                " summary['load'][2].start < summary['load'][2].end, summary['source'][0].is_check,"
                " [task.task_id for task in summary.tasks], summary.state, summary.workflow"
            ),
        )
    )
    assert result.state == "success"
    (seen,) = re.findall(r"^SEEN (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert seen == (
        "{'source': 3, 'load': 4} [{'rows': 1}, None, {'rows': 3}] 2 True True "
        "['source', 'load', 'load', 'load'] success ebi"
    )


def test_a_summary_takes_what_a_task_takes(run, capsys):
    result = run(
        body(
            "@task\ndef load():\n    return 7",
            "@summary(task_id='end')\ndef report(loaded, summary, ti, run_id):\n"
            "    print('SEEN', loaded, summary.state, ti.task_id, run_id)",
            "report(load())",
        )
    )
    assert (result.state, result.states) == ("success", {"load": "success", "end": "success"})
    assert f"SEEN 7 success end {result.run_id}\n" in capsys.readouterr().out


def test_what_cannot_be_got_is_said(run, monkeypatch):
    def away(*_arguments, **_options):
        raise OSError("the API server is away")

    monkeypatch.setattr(_outcomes, "_notes", away)
    result = run(body(GOOD_LOAD))
    assert (result.state, result.events) == ("success", RESOLVED)
    assert result.line["gaps"] == [
        "what the tasks noted of themselves: OSError: the API server is away"
    ]
    monkeypatch.setattr(_outcomes, "_crumbs", away)
    result = run(body(GOOD_LOAD, "@summary\ndef report(summary):\n    return str(summary.state)"))
    assert (result.state, result.states["load"]) == ("failed", "success")
    assert result.events == [("trigger", f"{FAILED}load: is unknown")]
    assert result.line["details"] == "failed"
    assert "not known: states and durations of the tasks: OSError: the API" in result.report


def test_a_value_that_cannot_be_read(run, monkeypatch):
    real = BaseXCom.get_one

    def broken(**options):
        if options["task_id"] == "load":
            raise RuntimeError("hunter2")
        return real(**options)

    monkeypatch.setattr(BaseXCom, "get_one", broken)
    result = run(body(GOOD_LOAD, REPORT.format("summary.values('load')")))
    assert result.events == [
        (
            "trigger",
            f"{FAILED}report: WorkflowError: what load returned cannot be read: RuntimeError",
        )
    ]
    assert result.line["rows"] == {"load": 12}


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("None", None),
        ("float('nan')", "nan"),
        # As long as the one before, Python would take the file for unchanged within a second.
        ("('x' * 20_000)", "x" * 79 + "…"),
        ("[1, {}]", [1, {}]),
    ],
)
def test_what_a_summary_returned(run, returned, told):
    text = "@summary\ndef report():\n    return "
    result = run(body(GOOD_LOAD, f"{text}{returned}"))
    assert result.line["details"] == told
