"""The executor whose tasks wait for the broker: what Airflow finds, publishes and gives up."""

import socket
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow import settings
from airflow.executors import executor_loader
from airflow.executors.executor_loader import ExecutorLoader
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.providers.celery.executors import celery_executor
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from rax.airflow import executor as own
from rax.airflow.executor import CeleryExecutor

PATH = "rax.airflow.executor.CeleryExecutor"


@pytest.fixture
def names(monkeypatch):
    """Return what reads the executors anew from a setting, and leaves no trace."""
    tables = (
        "_alias_to_executors_per_team",
        "_module_to_executors_per_team",
        "_classname_to_executors_per_team",
        "_team_name_to_executors",
        "_executor_names",
    )

    def forget():
        for table in tables:
            getattr(executor_loader, table).clear()

    def read(setting):
        forget()
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", setting)
        return ExecutorLoader

    yield read
    forget()


@pytest.mark.parametrize("setting", [PATH, f"CeleryExecutor:{PATH}", f"{PATH},LocalExecutor"])
@pytest.mark.parametrize("called", ["CeleryExecutor", PATH])
def test_a_dag_may_call_it_as_airflow_s_own(names, setting, called):
    loader = names(setting)
    assert loader.lookup_executor_name_by_str(called).module_path == PATH
    assert loader.get_default_executor_name().module_path == PATH
    assert loader.import_default_executor_cls()[0] is CeleryExecutor


def test_it_has_the_commands_of_airflow_s_own():
    assert CeleryExecutor.get_cli_commands() == celery_executor.CeleryExecutor.get_cli_commands()


class Executor(CeleryExecutor):
    """The executor with a broker that answers or not, and a list of what is published."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.published = list(answers), []

    def _process_workloads(self, workloads):
        self.published += workloads
        for workload in workloads:
            self.queued_tasks.pop(workload)
            self.queued_callbacks.pop(workload, None)

    def _get_workloads_to_schedule(self, open_slots):
        return [(key, key) for key in list(self.queued_tasks)[:open_slots]]

    def _broker_answers(self):
        return self.answers.pop(0)


def test_tasks_wait_until_the_broker_answers():
    executor = Executor(False, False, True, True)
    executor.queued_tasks = {"a": None, "b": None}
    for _ in range(2):
        executor.trigger_tasks(1)
        assert (executor.published, list(executor.queued_tasks)) == ([], ["a", "b"])
    executor.trigger_tasks(1)
    assert executor.published == ["a"]
    executor.trigger_tasks(1)
    assert executor.published == ["a", "b"]
    assert not executor.event_buffer


def test_no_task_no_question():
    Executor().trigger_tasks(16)  # The list of answers is empty.


@pytest.fixture
def broker(monkeypatch):
    """Return a function that makes an executor with this URL of a broker."""

    def executor(url):
        monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", url)
        monkeypatch.setenv("AIRFLOW__CELERY__RESULT_BACKEND", "db+sqlite://")
        return CeleryExecutor()

    return executor


def test_a_broker_that_is_away_is_logged_once_and_without_its_password(broker, caplog):
    with socket.socket() as taken:  # Bound, and not listened on: nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        executor = broker(f"redis://:CANARY@127.0.0.1:{taken.getsockname()[1]}/0")
        assert not executor._broker_answers()
        assert not executor._broker_answers()
    assert "CANARY" not in caplog.text


def test_a_broker_that_takes_connections_and_is_silent_is_away(broker):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not broker(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")._broker_answers()


def test_a_broker_that_answers_is_there(broker):
    executor = broker("memory://")
    executor._broker_is_away = True
    assert executor._broker_answers()
    assert not executor._broker_is_away


@pytest.fixture
def tasks(_metadata_database):
    """Return a function that sets the state of tasks in the metadata database, and makes them."""
    at = datetime(2026, 6, 1, tzinfo=UTC)
    with settings.Session() as session:
        session.add(DagBundleModel(name="dags"))
        session.commit()
        session.add(
            DagModel(
                dag_id="d", bundle_name="dags", is_stale=False, fileloc="a", timetable_type="t"
            )
        )
        session.commit()
        run = {"dag_id": "d", "run_id": "r", "run_type": "manual", "state": "running",
               "logical_date": at, "run_after": at, "log_template_id": None}  # fmt: skip
        session.execute(DagRun.__table__.insert(), run)
        session.commit()

        def make(task_id, state, celery_id):
            session.execute(delete(TaskInstance).where(TaskInstance.task_id == task_id))
            session.execute(
                TaskInstance.__table__.insert(),
                {"id": uuid.uuid4(), "dag_id": "d", "run_id": "r", "task_id": task_id,
                 "map_index": -1, "try_number": 1, "max_tries": 0, "pool": "default_pool",
                 "pool_slots": 1, "queue": "default", "state": state,
                 "external_executor_id": celery_id},
            )  # fmt: skip
            session.commit()
            return TaskInstanceKey("d", task_id, "r", 1)

        yield make
        session.rollback()
        for table in (TaskInstance, DagRun, DagModel, DagBundleModel):
            session.execute(delete(table))
        session.commit()


class Reader(Executor):
    """An executor to which Celery says nothing of its tasks, and which looks at each sync."""

    def __init__(self, **workloads):
        super().__init__()
        self.workloads = {key: SimpleNamespace(task_id=one) for one, key in workloads.items()}
        self.running = set(self.workloads)

    def update_all_workload_states(self):
        pass

    def sync(self):
        self._looked_at = 0.0
        super().sync()
        assert set(self.workloads) == self.running
        return sorted(result.task_id for result in self.workloads.values())


@pytest.mark.parametrize("state", ["success", "failed", "up_for_retry", "deferred", None])
def test_a_task_whose_last_state_is_lost_frees_its_slot_when_it_has_ended(tasks, state, capsys):
    executor = Reader(
        lost=tasks("lost", "running", "lost"),
        running=tasks("running", "running", "running"),
        queued=tasks("queued", "queued", "queued"),
    )
    assert executor.sync() == executor.sync() == ["lost", "queued", "running"]
    tasks("lost", state, "lost")
    # Celery has a look's time to say so itself.
    assert executor.sync() == ["lost", "queued", "running"]
    assert executor.sync() == ["queued", "running"]
    # The database knows already, so that no event is to change it.
    assert executor.event_buffer == {}
    assert "Celery has no last state of" in capsys.readouterr().out


def test_a_task_that_was_sent_again_or_is_gone_frees_its_slot(tasks):
    executor = Reader(
        first=tasks("resumed", "queued", "second"), gone=TaskInstanceKey("d", "gone", "r", 1)
    )
    assert executor.sync() == ["first", "gone"]
    assert executor.sync() == []


def test_a_task_that_is_begun_again_between_two_looks_stays(tasks):
    executor = Reader(one=tasks("one", None, "one"))
    assert executor.sync() == ["one"]
    tasks("one", "queued", "one")
    assert executor.sync() == ["one"]
    tasks("one", "success", "one")
    assert executor.sync() == ["one"]


@pytest.mark.usefixtures("tasks")
def test_a_callback_waits_for_celery():
    executor = Reader(callback=str(uuid.uuid4()))
    assert executor.sync() == executor.sync() == ["callback"]


def test_a_database_that_is_away_gives_nothing_up(tasks, monkeypatch, capsys):
    executor = Reader(one=tasks("one", "success", "one"))

    def fail(_):
        raise OperationalError("SELECT", {}, RuntimeError("CANARY"))

    assert executor.sync() == ["one"]
    with monkeypatch.context() as patched:
        patched.setattr(own, "_unfinished", fail)
        assert executor.sync() == ["one"]
    said = capsys.readouterr().out
    assert "Lost states are looked for later: OperationalError" in said
    assert "CANARY" not in said
    assert executor.sync() == []


def test_the_database_is_asked_now_and_then(tasks, monkeypatch):
    asked = []
    monkeypatch.setattr(own, "_unfinished", lambda keys: asked.append(keys) or frozenset(["one"]))
    executor = Reader(one=tasks("one", "running", "one"))
    for _ in range(3):
        CeleryExecutor.sync(executor)
    assert len(asked) == 1
