"""The proof that workers run tasks: the DAG of rax.airflow.health, and Celery's pings."""

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.providers.celery.executors import celery_executor
from celery import Celery
from sqlalchemy.exc import OperationalError

from rax.airflow import _cluster, health
from rax.airflow.health import Problem, list_workers

DAGS = Path(health.__file__).parent / "dags"


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("CASPIAN_WORKER", raising=False)


def parse():
    """Return the DAG as the node that this is reads it now."""
    bag = BundleDagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name=health.BUNDLE)
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag


@pytest.mark.parametrize(
    ("listed", "here", "expected"),
    [
        ([], None, []),
        ([], "worker1.example.org", ["worker1.example.org"]),
        (["w2", "w1"], None, ["w1", "w2"]),
        (["w2", "w1"], "w1", ["w1", "w2"]),
        (["w1"], "w3", ["w1", "w3"]),
    ],
)
def test_one_task_for_each_worker(listed, here, expected, monkeypatch):
    list_workers(listed)
    if here:
        monkeypatch.setenv("CASPIAN_WORKER", here)
    dag = parse()
    assert {task.task_id: task.queue for task in dag.tasks} == {
        f"on_{worker}": worker for worker in expected
    }


def test_it_runs_when_it_is_triggered_and_only_then():
    dag = parse()
    assert dag.dag_id == health.DAG_ID
    assert dag.schedule is None
    assert dag.is_paused_upon_creation is False
    assert dag.dagrun_timeout is not None


@pytest.mark.parametrize("here", ["w2", None])
def test_a_task_refuses_to_run_elsewhere(here, monkeypatch):
    list_workers(["w1", "w2"])
    task = parse().get_task("on_w1")
    if here:
        monkeypatch.setenv("CASPIAN_WORKER", here)
    with pytest.raises(
        RuntimeError, match=f"^The queue of w1 is served by {socket.gethostname()}$"
    ):
        task.python_callable(*task.op_args, **task.op_kwargs)


@pytest.mark.parametrize("worker", ["w1", "w2"])
def test_a_task_says_where_it_ran(worker, monkeypatch):
    list_workers(["w1", "w2"])
    task = parse().get_task(f"on_{worker}")
    monkeypatch.setenv("CASPIAN_WORKER", worker)
    assert task.python_callable(*task.op_args, **task.op_kwargs) == socket.gethostname()


@pytest.fixture
def pings(monkeypatch):
    """Return a list of what each ping brings, and of whom it is sent to."""
    brought, sent = [], []

    class Inspect:
        def __init__(self, destination, timeout):
            assert timeout
            sent.append(destination)

        def ping(self):
            return brought.pop(0) if len(brought) > 1 else brought[0]

    monkeypatch.setattr(celery_executor.app.control, "inspect", Inspect)
    return brought, sent


def pong(*names):
    return {f"celery@{name}": {"ok": "pong"} for name in names}


def test_workers_that_answer_are_not_asked_again(pings):
    brought, sent = pings
    brought += [None, pong("w2"), pong("w1")]
    assert health.wait_for_pings(["w1", "w2"], time.monotonic() + 60) == []
    assert sent == [["celery@w1", "celery@w2"], ["celery@w1", "celery@w2"], ["celery@w1"]]


def test_a_worker_that_does_not_answer(pings):
    pings[0].append(pong("w1"))
    assert health.wait_for_pings(["w1", "w2"], 0) == [
        Problem("w2", "worker", "silent", "it does not answer a Celery ping")
    ]


def test_no_worker_no_ping(pings):
    assert health.wait_for_pings([], 0) == []
    assert pings[1] == []


def test_a_broker_that_does_not_answer_is_named_without_its_url(monkeypatch):
    with socket.socket() as taken:  # Bound, and not listened on: nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        url = f"redis://:CANARY@127.0.0.1:{taken.getsockname()[1]}/0"
        app = Celery(broker=url)
        app.conf.broker_transport_options = {"max_retries": 0}
        monkeypatch.setattr(celery_executor, "app", app)
        (problem,) = health.wait_for_pings(["w1"], time.monotonic() + 1)
    assert (problem.host, problem.component, problem.kind) == ("", "broker", "silent")
    assert problem.problem.startswith("it does not answer: ")
    assert "CANARY" not in problem.problem


@pytest.fixture
def cluster(monkeypatch):
    """Return the tasks that each run gets, and a log of what is done to the cluster."""
    runs, log = [], []

    class Client:
        def trigger_dag(self, dag_id, **_):
            log.append(f"trigger {dag_id}")

    class Session:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def execute(self, _):
            return runs[log.count(f"trigger {health.DAG_ID}") - 1]

    monkeypatch.setattr("airflow.api.client.get_current_api_client", Client)
    monkeypatch.setattr("airflow.settings.Session", Session)
    monkeypatch.setattr(health, "serialize_health_dag", lambda: log.append("serialize"))
    monkeypatch.setattr(health, "STALE_SECONDS", 0)
    monkeypatch.setattr(health, "POLL_SECONDS", 0)
    return runs, log


def test_run_of_an_older_parse_is_triggered_again(cluster):
    """A parse that began before the workers were listed leaves a run without their tasks."""
    runs, log = cluster
    runs += [
        [("on_w1", "success", "host1", 1)],
        [("on_w1", "success", "host1", 1), ("on_w2", "success", "host2", 2)],
    ]
    problems, ran, logs = health.run_tasks(["w1", "w2"], time.monotonic() + 60)
    assert problems == []
    assert ran == {"w1": "host1", "w2": "host2"}
    (first, second) = (logs[name].partition("/taskInstances/") for name in ("w1", "w2"))
    assert first[0] == second[0]
    assert first[0].startswith(f"/api/v2/dags/{health.DAG_ID}/dagRuns/health__")
    assert (first[2], second[2]) == ("on_w1/logs/1", "on_w2/logs/2")
    assert log == [f"trigger {health.DAG_ID}", "serialize", f"trigger {health.DAG_ID}"]


def test_task_that_has_not_ended_at_the_deadline_is_a_problem(cluster):
    cluster[0].append([("on_w1", "queued", "", 0)])
    (problem,), ran, logs = health.run_tasks(["w1"], 0)
    assert (ran, logs) == ({}, {})
    assert (problem.host, problem.kind) == ("w1", "no-task")
    assert problem.problem.startswith("the task sent to it is queued (run health__")


def unread(paths):
    """Tell that the log of w3 can't be read."""
    return {name: "no" for name in paths if name == "w3"}


@pytest.fixture
def proof(monkeypatch, cluster, pings):
    """Prove workers whose tasks have these states; return the problems as host and kind."""
    monkeypatch.setattr(health, "MAX_EXCUSE_SECONDS", 0)
    monkeypatch.setattr(health, "unreadable_logs", lambda _url, paths: unread(paths))

    def prove(answering, **states):
        pings[0].append(pong(*answering))
        cluster[0].append([(f"on_{name}", state, name, 1) for name, state in states.items()])
        problems, ran = health.prove(sorted(states), ["w9"], 0.2)
        return {(problem.host, problem.kind) for problem in problems}, ran

    return prove


@pytest.mark.parametrize(
    ("answering", "states", "problems"),
    [
        (["w1", "w2"], {"w1": "success", "w2": "success"}, set()),
        # A dead worker once took the time of a healthy one.
        (["w1"], {"w1": "success", "w2": "queued"}, {("w2", "silent")}),
        (["w1", "w2"], {"w1": "success", "w2": "queued"}, {("w2", "no-task")}),
        (["w1", "w2"], {"w1": "failed", "w2": "success"}, {("w1", "no-task")}),
        (["w1", "w3"], {"w1": "success", "w3": "success"}, {("w3", "logs")}),
        # What has run a task is there, whether it answers pings or not.
        ([], {"w1": "success", "w2": "success"}, set()),
    ],
)
def test_each_worker_is_judged_by_itself(proof, cluster, answering, states, problems):
    found, ran = proof(answering, **states)
    assert found == problems
    assert ran == {name: name for name, state in states.items() if state == "success"}
    assert health.listed_workers() == [*sorted(states), "w9"]
    assert cluster[1].count(f"trigger {health.DAG_ID}") == 1


def test_without_a_broker_no_task_is_sent(monkeypatch, cluster):
    broken = Problem("", "broker", "silent", "it does not answer: OperationalError")
    monkeypatch.setattr(health, "ping", lambda names: (names, [broken]))
    assert health.prove(["w1"], [], 0) == ([broken], {})
    assert cluster[1] == []


# What the metadata database says


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Return a session of a database with Airflow's tables of jobs and import errors."""
    from airflow import settings
    from airflow.jobs.job import Job
    from airflow.models.errors import ParseImportError
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker

    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    for model in (Job, ParseImportError):
        model.__table__.create(engine)
    make = sessionmaker(engine)
    monkeypatch.setattr(settings, "Session", make)
    with make() as session:
        yield session
    engine.dispose()


def test_the_newest_heartbeat_of_each_component_of_each_host(database):
    from airflow.jobs.job import Job

    now = datetime.now(UTC)
    for kind, host, age, state in [
        ("SchedulerJob", "s1", 3, "running"), ("SchedulerJob", "s1", 900, "running"),
        ("SchedulerJob", "s2", 400, "running"), ("TriggererJob", "s1", 5, "running"),
        # It was stopped, and is missed by nobody.
        ("TriggererJob", "s2", 5, "success"), ("LocalTaskJob", "w1", 5, "running"),
    ]:  # fmt: skip
        beat = now - timedelta(seconds=age)
        database.execute(
            Job.__table__.insert().values(
                job_type=kind, hostname=host, state=state, latest_heartbeat=beat
            )
        )
    database.commit()
    found = {(job["type"], job["hostname"]): job["age_seconds"] for job in _cluster.heartbeats()}
    expected = {("SchedulerJob", "s1"): 3, ("SchedulerJob", "s2"): 400, ("TriggererJob", "s1"): 5}
    assert found.keys() == expected.keys()
    assert all(0 <= found[key] - expected[key] < 60 for key in expected)


def test_import_errors_are_told_without_the_secrets_of_this_node(database, monkeypatch):
    from airflow.models.errors import ParseImportError

    monkeypatch.setattr("rax.alerting._secrets.hide", lambda text: text.replace("hunter22", "***"))
    for number in range(25):
        trace = f"Traceback\n  File x\nValueError: hunter22 \x1b[2J{'x' * 1000}\n\n"
        database.add(
            ParseImportError(filename=f"dags/{number:02}.py", bundle_name="dags", stacktrace=trace)
        )
    database.commit()
    found = _cluster.import_errors()
    assert [file for file, _problem in found[:2]] == ["dags/00.py", "dags/01.py"]
    assert len(found) == _cluster.MAX_IMPORT_ERRORS + 1
    assert found[-1] == ("DAGs", "5 more files cannot be imported")
    problem = found[0][1]
    assert problem.startswith(r"it cannot be imported: ValueError: *** \x1b[2Jxxx")
    assert len(problem) <= _cluster.MAX_REASON_CHARACTERS


def test_no_import_errors(database):
    assert database
    assert _cluster.import_errors() == []


def test_a_database_that_goes_away_is_named_without_what_it_was_asked(monkeypatch):
    lost = OperationalError("SELECT canary", {}, ConnectionError("to canary"))
    monkeypatch.setattr(health, "examine", lambda _options: raises(lost))
    found = health.examine_or_say_why_not(None)
    problem = "it did not answer to the end: ConnectionError"
    assert found == {
        "problems": [
            {"host": "", "component": "metadatabase", "kind": "silent", "problem": problem}
        ],
        "workers": {},
        "jobs": [],
    }


def raises(error):
    raise error
