"""Runs that fail and cannot say so themselves, as Airflow's scheduler ends them."""

import datetime
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
from airflow.callbacks.database_callback_sink import DatabaseCallbackSink
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.listeners.listener import get_listener_manager
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit

from rax import alerting
from rax.airflow import _failed_runs, _outcomes, plugin
from rax.alerting import pending, trigger
from rax.workflow import _alerts
from tests.airflow.workflow_testing import (
    BAD_LOAD,
    FAILED,
    GOOD_CHECK,
    GOOD_LOAD,
    body,
    spooling,
)

SUMMARY_KILLED = "was killed, or could not start"
MAPPED = (
    "@task\ndef load(month):\n    if month == 2:\n        raise ValueError('no')\n"
    "load.expand(month=[1, 2])"
)
SHA = "4f2a" * 10


@pytest.fixture(autouse=True)
def node(tmp_path, monkeypatch):
    """Be a node with a scheduler that has told of nothing yet, whose alerts wait for cron."""
    spooling(tmp_path, monkeypatch)
    for name in ("RAX_ALERTING_CREDENTIAL", "RAX_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_failed_runs, "_told", type(_failed_runs._told)(maxlen=1000))
    get_listener_manager().add_listener(plugin)
    yield
    get_listener_manager().pm.unregister(plugin)


@pytest.fixture
def ended(run, monkeypatch):
    """Return a function that runs a workflow and returns its run's id."""

    def ended(text):
        run_id = run(text).run_id
        # In place of those that keep what the workflow itself has sent.
        monkeypatch.setattr(alerting, "trigger", trigger)
        assert told() == []
        return run_id

    return ended


def change(run_id, task_id, **fields):
    """Change what the database has of a task."""
    with create_session() as session:
        session.execute(
            sqlalchemy.update(TaskInstance)
            .where(TaskInstance.run_id == run_id, TaskInstance.task_id == task_id)
            .values(**fields)
        )


def forget(*task_ids):
    """Let tasks have noted nothing, as if they had been killed."""
    with create_session() as session:
        session.execute(
            sqlalchemy.delete(XComModel).where(
                XComModel.key == _outcomes.NOTE, XComModel.task_id.in_(task_ids)
            )
        )


def note(run_id, task_id, value):
    with create_session() as session:
        XComModel.set(
            _outcomes.NOTE,
            value,
            dag_id="ebi",
            task_id=task_id,
            run_id=run_id,
            serialize=False,
            session=session,
        )


def schedule(*run_ids, **fields):
    """Have the scheduler look at runs that have not ended, as it does: nobody else may commit."""
    with create_session() as session:
        runs = session.scalars(sqlalchemy.select(DagRun).where(DagRun.run_id.in_(run_ids))).all()
        for run in runs:
            run.state = "running"
            for name, value in fields.items():
                setattr(run, name, value)
    runner = SchedulerJobRunner(job=Job(), executors=[SimpleNamespace()])
    with create_session() as session, prohibit_commit(session) as guard:
        runs = session.scalars(sqlalchemy.select(DagRun).where(DagRun.run_id.in_(run_ids))).all()
        runner._schedule_all_dag_runs(guard, runs, session)
    with create_session() as session:
        states = sqlalchemy.select(DagRun.state).where(DagRun.run_id.in_(run_ids))
        assert set(session.scalars(states)) == {"failed"}


def told():
    return [entry.summary for entry in pending()]


@pytest.mark.parametrize(
    ("forgotten", "said"),
    [
        ((), []),
        (["summary"], [f"{FAILED}load: ValueError: no rows (and 1 more)"]),
        (
            ["load", "summary"],
            [f"{FAILED}load: failed and did not say why; its log may (and 1 more)"],
        ),
    ],
)
def test_a_failed_run_is_told_of_once(ended, forgotten, said):
    """By its summary, or else by the scheduler, which knows the reasons of the tasks."""
    run_id = ended(body(GOOD_CHECK, BAD_LOAD))
    forget(*forgotten)
    schedule(run_id)
    assert told() == said
    # Also where the scheduler's transaction failed, so that it ends the run once more.
    schedule(run_id)
    assert told() == said


def test_a_run_that_was_cleared_and_failed_again(ended):
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    schedule(run_id)
    schedule(run_id, clear_number=1)
    assert len(told()) == 2


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"try_number": 0, "reason": "of the try before"}, SUMMARY_KILLED),
        ({"try_number": 1}, None),
        ({"try_number": 1, "foreign": True, "reason": "was lost"}, "was lost"),
        # Anybody may write an XCom.
        ("no note", SUMMARY_KILLED),
        ({"try_number": 1, "foreign": True}, "None"),
    ],
)
def test_what_was_noted_of_the_summary(ended, value, why):
    run_id = ended(body(GOOD_LOAD, "@summary\ndef report():\n    raise ValueError"))
    change(run_id, "report", hostname="worker1")
    note(run_id, "report", value)
    schedule(run_id)
    assert told() == ([f"{FAILED}report: {why}"] if why else [])


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"hostname": ""}, "was not begun: no worker took it in time"),
        ({"hostname": "worker1"}, SUMMARY_KILLED),
        ({"state": "upstream_failed"}, "is upstream_failed, and was not run"),
    ],
)
def test_a_summary_that_did_not_tell(ended, fields, why):
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    change(run_id, "summary", **fields)
    schedule(run_id)
    (event,) = events()
    assert event["dedup_key"] == "default/ebi"
    assert event["payload"]["custom_details"]["failures"][0] == "load: ValueError: no rows"
    assert event["payload"]["custom_details"]["failures"][-1] == f"summary: {why}"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("skipped", "is skipped, and was not run"),
        ("success", "had ended before the run failed"),
        (None, "is not scheduled, and was not run"),
        ("removed", "is removed, and was not run"),
    ],
)
def test_a_summary_beside_which_a_run_failed(state, why):
    """As in a DAG that somebody has wired otherwise, or whose summary is new."""
    own = SimpleNamespace(state=state) if state != "removed" else None
    assert _failed_runs._unreported("end", own, {}) == f"end: {why}"


def events():
    files = sorted(Path(os.environ["RAX_ALERTING_SPOOL"]).glob("*.json"))
    return [json.loads(file.read_text())["event"] for file in files]


def executor_says_failed(run_id, task_id, info):
    """Have the scheduler take what its executor says of a task that runs, and ask for callbacks."""
    change(run_id, task_id, state="running", end_date=None)
    with create_session() as session:
        ti = session.scalars(
            sqlalchemy.select(TaskInstance).filter_by(run_id=run_id, task_id=task_id)
        ).one()
        executor = SimpleNamespace(
            get_event_buffer=lambda events={ti.key: ("failed", info)}: events,
            has_task=lambda _: False,
            send_callback=DatabaseCallbackSink().send,
        )
        SchedulerJobRunner.process_executor_events(executor, None, DBDagBag(), session)


@pytest.mark.parametrize(
    ("heartbeat", "info", "why"),
    [
        (None, "x\nOSError: disk full", "could not be run: OSError: disk full"),
        (
            datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
            None,
            r"was lost: no heartbeat from worker1 since 03:04:05 UTC, for \d+ s",
        ),
    ],
)
def test_what_the_scheduler_itself_noted(ended, heartbeat, info, why):
    run_id = ended(body(GOOD_LOAD, "@summary\ndef report():\n    raise ValueError"))
    forget("report")
    change(run_id, "report", hostname="worker1", last_heartbeat_at=heartbeat)
    executor_says_failed(run_id, "report", info)
    schedule(run_id)
    (said,) = told()
    assert re.fullmatch(re.escape(f"{FAILED}report: ") + why, said)


def test_mapped_tasks(ended):
    run_id = ended(body(MAPPED))
    forget("summary")
    schedule(run_id)
    assert told() == [f"{FAILED}load[1]: ValueError: no (and 1 more)"]


def test_mapped_checks_are_checks(ended):
    run_id = ended(
        body("@check\ndef source(name):\n    raise ValueError(name)\nsource.expand(name=['a'])")
    )
    forget("summary")
    schedule(run_id)
    assert told() == [f"{FAILED}check source[0]: ValueError: a (and 1 more)"]


def test_the_failures_come_in_the_order_of_the_dag(ended):
    run_id = ended(
        body(
            "@task\ndef zebra():\n    raise ValueError('first')\n"
            "@task\ndef apple():\n    raise ValueError('then')\nzebra() >> apple()"
        )
    )
    change(run_id, "apple", state="failed", duration=3.0)
    forget("summary", "apple")
    schedule(run_id)
    ((first, second, _),) = (event["payload"]["custom_details"]["failures"] for event in events())
    assert (first, second) == (
        "zebra: ValueError: first",
        "apple: failed and did not say why; its log may",
    )


@pytest.mark.parametrize(("begun", "late"), [(True, " (load had not ended)"), (False, "")])
def test_a_run_that_took_too_long(ended, begun, late):
    run_id = ended(body(GOOD_LOAD, options=", dagrun_timeout=timedelta(seconds=30)"))
    hour_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    start = hour_ago if begun else None
    change(run_id, "load", state="running" if begun else None, start_date=start, end_date=None)
    change(run_id, "summary", state=None, start_date=None, end_date=None)
    forget("summary", "load")
    schedule(run_id, start_date=hour_ago)
    assert told() == [
        f"{FAILED}the run took longer than its dagrun_timeout of 0:00:30, and its summary was"
        f" skipped{late}"
    ]


def test_the_release_is_that_of_the_run(ended, monkeypatch):
    monkeypatch.setenv("RAX_RELEASE_URL", "https://git.example.org/{version}")
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    schedule(run_id, bundle_version=SHA)
    (event,) = events()
    details = event["payload"]["custom_details"]
    assert (details["release"], details["run_id"]) == (SHA, run_id)
    assert event["links"] == [{"href": f"https://git.example.org/{SHA}", "text": "The release"}]


def test_no_code_of_an_author_takes_part(ended):
    """It may have changed since, or kill the process that it runs in."""
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    (file,) = Path(os.environ["AIRFLOW_HOME"], "dags").glob("workflow_*.py")
    file.write_text("import os\nos._exit(1)")
    schedule(run_id)
    assert told() == [f"{FAILED}load: ValueError: no rows (and 1 more)"]


def test_a_dag_without_a_summary_is_not_ours(ended):
    schedule(
        ended("with DAG('ebi') as dag:\n    @task\n    def load():\n        1 / 0\n    load()")
    )
    assert told() == []


def test_a_run_that_a_person_marks_as_failed_and_one_of_a_test(ended):
    """Only the scheduler tells: the API server calls the listener, too."""
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    with create_session() as session:
        found = session.scalars(sqlalchemy.select(DagRun).filter_by(run_id=run_id)).one()
        get_listener_manager().hook.on_dag_run_failed(dag_run=found, msg="set to `failed`")
    assert told() == []


def test_what_fails_here_does_not_keep_the_run_from_its_end(ended, monkeypatch):
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    monkeypatch.setattr(_outcomes, "NOTE", "x")
    monkeypatch.setattr(_failed_runs, "NOTE", object())
    schedule(run_id)
    assert told() == []


def test_a_disk_that_takes_no_alert(ended, monkeypatch):
    """It is sent at once, past the spool."""
    sent = []

    def refuse(*_, limit, **__):
        sent.append(limit)
        return alerting.Outcome("lost" if limit == 0 else "sent")

    run_id = ended(body(BAD_LOAD))
    forget("summary")
    monkeypatch.setattr(alerting, "trigger", refuse)
    schedule(run_id)
    assert sent == [0, _alerts.UNSPOOLED_SECONDS]


def test_a_hundred_runs_at_once(ended):
    run_id = ended(body(BAD_LOAD))
    forget("summary")
    for number in range(100):
        schedule(run_id, clear_number=number)
    assert told() == [f"{FAILED}load: ValueError: no rows (and 1 more)"] * 100
