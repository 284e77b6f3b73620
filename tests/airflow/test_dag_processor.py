"""Callbacks as Airflow's DAG processor runs them: in a process that it forks, with its answers."""

import selectors
import signal
import time
from pathlib import Path

import pytest
import sqlalchemy
from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
from airflow.api_fastapi.execution_api.datamodels.taskinstance import TIRunContext
from airflow.callbacks.callback_requests import TaskCallbackRequest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.manager import DagFileInfo, DagFileProcessorManager
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session

from rax import alerting
from rax.alerting import pending, trigger
from rax.workflow import _alerts
from tests.airflow.workflow_testing import BAD_LOAD, FAILED, GOOD_CHECK, body, spooling

# As Airflow's own; a processor that waits for an answer takes all of it.
MAX_SECONDS = 50
LOST = "Executor CeleryExecutor(parallelism=32) reported that the task instance finished"


@pytest.fixture(autouse=True)
def node(tmp_path, monkeypatch):
    """Be a node whose alerts wait in the spool for cron."""
    spooling(tmp_path, monkeypatch)
    monkeypatch.setattr(_alerts, "MAX_SEND_SECONDS", 0)
    for name in ("RAX_ALERTING_CREDENTIAL", "RAX_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ended(run, load):
    """Return a function that runs a workflow and returns its DAG and its run's id."""

    def ended(text):
        result = run(text)
        return load(text), result.run_id

    return ended


@pytest.fixture(scope="module")
def execution_api():
    """Return what answers the processes that the DAG processor forks: making one takes seconds."""
    return InProcessExecutionAPI()


@pytest.fixture
def process(execution_api, monkeypatch):
    """Return a function that has the DAG processor run callbacks; it returns what it logs."""

    def process(dag, requests):
        # In place of those that keep what the workflow itself has sent.
        monkeypatch.setattr(alerting, "trigger", trigger)
        file = Path(dag.fileloc)
        manager = DagFileProcessorManager(max_runs=1)
        manager._api_server = execution_api
        manager.selector = selectors.DefaultSelector()
        manager._dag_bundles = list(DagBundlesManager().get_all_dag_bundles())
        info = DagFileInfo(
            rel_path=Path(file.name), bundle_name="dags-folder", bundle_path=file.parent
        )
        manager._callback_to_execute[info] = list(requests)
        processor = manager._create_process(info)
        begun = time.monotonic()
        while not processor.is_ready:
            manager._service_processor_sockets(timeout=0.1)
            if time.monotonic() > begun + MAX_SECONDS:
                processor.kill(signal.SIGKILL)
                pytest.fail(f"the DAG processor is still at it after {MAX_SECONDS} s")
        log = Path(processor.logger_filehandle.name)
        processor.close()
        return log.read_text()

    return process


def task_request(dag, run_id, task_id, msg=LOST):
    """Return the request of a task that could not call back itself, as the scheduler makes it."""
    with create_session() as session:
        ti = session.scalars(
            sqlalchemy.select(TaskInstance).filter_by(run_id=run_id, task_id=task_id)
        ).one()
        return TaskCallbackRequest(
            filepath=Path(dag.fileloc).name,
            bundle_name="dags-folder",
            bundle_version=None,
            ti=ti,
            msg=msg,
            context_from_server=TIRunContext(dag_run=ti.dag_run, max_tries=0),
        )


def told():
    return [entry.summary for entry in pending()]


def test_a_lost_task_is_left_to_the_summary(ended, process):
    """Its callbacks end at once, although they can note nothing there."""
    dag, run_id = ended(body(GOOD_CHECK, BAD_LOAD))
    requests = [task_request(dag, run_id, task_id) for task_id in ("source", "load", "summary")]
    log = process(dag, requests)
    assert (log.count("Executing Task callback"), "Error in callback" in log) == (3, False)
    assert told() == []


def test_a_check_without_a_summary_alerts_from_there(load, run, process):
    text = "with DAG('ebi') as dag:\n    @check\n    def source():\n        1 / 0\n    source()"
    run_id = run(text).run_id
    dag = load(text)
    process(dag, [task_request(dag, run_id, "source")])
    assert told() == [f"{FAILED}check source: no reason is known"]
