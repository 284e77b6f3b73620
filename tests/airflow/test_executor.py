"""The executor whose tasks wait for the broker: what Airflow finds, publishes and keeps."""

import socket

import pytest
from airflow.executors import executor_loader
from airflow.executors.executor_loader import ExecutorLoader
from airflow.providers.celery.executors import celery_executor

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
