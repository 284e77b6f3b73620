"""What is noted of a task that could not say itself why it failed."""

import datetime
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import sqlalchemy
from airflow.listeners.listener import get_listener_manager
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import BundleInfo
from airflow.utils.session import create_session

from rax.airflow import _callbacks, _reasons, plugin
from rax.airflow._outcomes import NOTE
from rax.airflow.coordinator import Coordinator
from tests.airflow.run_tasks import DAG_RUN, instance
from tests.airflow.workflow_testing import BAD_LOAD, FAILED, GOOD_LOAD, body

STATE = (
    "Executor CeleryExecutor(parallelism=32) reported that the task instance"
    " <TaskInstance: ebi.load manual [running]> finished with state failed, but the task"
    " instance's state attribute is {}."
)
MORE = (
    " Learn more: https://airflow.apache.org/docs/apache-airflow/stable/troubleshooting.html"
    "#task-state-changed-externally"
)


@pytest.mark.parametrize(
    ("seen", "error", "why"),
    [
        (
            datetime.timedelta(seconds=300),
            STATE.format("running") + MORE,
            r"was lost: no heartbeat from worker1 since \d\d:\d\d:\d\d UTC, for 300 s",
        ),
        (
            None,
            STATE.format("queued") + MORE + " Extra info: Traceback\n  …\nOSError: No space left\n",
            "could not be run: OSError: No space left",
        ),
        (None, STATE.format("queued") + MORE, r"Executor .* state attribute is queued\."),
        # Its try before ran.
        (
            datetime.timedelta(seconds=300),
            STATE.format("queued") + MORE,
            r"Executor .* state attribute is queued\.",
        ),
        (
            datetime.timedelta(seconds=3),
            "TaskInstance's state was manually set to `failed`.",
            "was marked as failed by hand",
        ),
        (None, "", ""),
    ],
)
def test_what_scheduler_and_api_server_know(seen, error, why):
    now = datetime.datetime.now(datetime.UTC)
    ti = SimpleNamespace(hostname="worker1", last_heartbeat_at=seen and now - seen)
    assert re.fullmatch(why, _reasons.why_failed(ti, error))


def test_airflow_tells_the_plugin(run, load):
    """And the summary that runs then has the reason."""
    get_listener_manager().add_listener(plugin)
    try:
        result = run(body(GOOD_LOAD))
        with create_session() as session:
            ti = session.scalars(
                sqlalchemy.select(TaskInstance).filter_by(run_id=result.run_id, task_id="load")
            ).one()
            ti.task = load(body(GOOD_LOAD)).get_task("load")
            ti.handle_failure(error=STATE.format("queued"), session=session)
        with create_session() as session:
            ti = session.merge(ti)
            note = ti.xcom_pull(task_ids="load", key=NOTE, session=session)
        assert note["reason"] == STATE.format("queued")
        assert (note["foreign"], note["try_number"], note["map_index"]) == (True, 1, -1)
    finally:
        get_listener_manager().pm.unregister(plugin)


def test_a_task_that_said_why_and_was_lost_then(run):
    """Its reason is the better one; and of a summary, it says that it has alerted."""
    result = run(body(BAD_LOAD))
    with create_session() as session:
        found = session.scalars(
            sqlalchemy.select(TaskInstance).filter_by(run_id=result.run_id)
        ).all()
        for ti in found:
            plugin.on_task_instance_failed("running", ti, STATE.format("running"))
    with create_session() as session:
        notes = {
            ti.task_id: session.merge(ti).xcom_pull(task_ids=ti.task_id, key=NOTE, session=session)
            for ti in found
        }
    assert notes["load"]["reason"] == "ValueError: no rows"
    assert not any(note.get("foreign") for note in notes.values())


def test_the_entry_point_is_the_plugin():
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert (
        f'rax_reasons = "{plugin.__name__}:{plugin.ReasonsPlugin.__name__}"'
        in pyproject.read_text()
    )


TASKS = """
import os, signal
from airflow.sdk import dag, task

@dag(dag_id="example")
def example():
    for name, end in {
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "exits": lambda: os._exit(3),
        "fails": lambda: 1 / 0,
        "succeeds": lambda: None,
    }.items():
        task(task_id=name)(end)()

example()
"""


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("killed", "was killed by SIGKILL, most likely for want of memory"),
        ("exits", "could not be begun, or ended itself: exit code 3; see its log"),
        ("fails", None),
        ("succeeds", None),
    ],
)
def test_what_the_supervisor_knows(task, said):
    """A task's process has failed, and could not note why."""
    file = Path(os.environ["AIRFLOW_HOME"], "dags", "example.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(TASKS)
    calls = []

    def answer(request):
        *_, name = request.url.path.split("/")
        calls.append((request.method, name, json.loads(request.content or "{}")))
        if name == "run":
            answer = {"dag_run": DAG_RUN, "max_tries": 0, "should_retry": False}
            return httpx.Response(200, json=answer)
        if request.method == "GET" and name == NOTE:
            return httpx.Response(404, json={"detail": "no"})
        return httpx.Response(200, json={})

    Coordinator().execute_task(
        what=instance(task),
        dag_rel_path=file.name,
        bundle_info=BundleInfo(name="dags-folder"),
        client=Client(base_url=None, dry_run=True, token="", transport=httpx.MockTransport(answer)),
        subprocess_logs_to_stdout=False,
    )
    file.unlink()
    states = [sent.get("state") for _, name, sent in calls if name == "state"]
    assert states == ["success" if task == "succeeds" else "failed"]
    noted = [sent for method, name, sent in calls if (method, name) == ("POST", NOTE)]
    assert [note["reason"] for note in noted] == ([said] if said else [])
    if said:
        assert calls.index(("POST", NOTE, noted[0])) == len(calls) - 1


def test_the_summary_has_what_others_noted(run, monkeypatch):
    """As of a task whose process was killed, and so noted nothing itself."""
    monkeypatch.setattr(_callbacks, "_note", lambda *_, **__: None)
    text = body(
        "@task\ndef load():\n    from airflow.sdk import get_current_context\n"
        "    from rax.airflow import _reasons\n"
        "    from rax.airflow._outcomes import NOTE\n"
        "    ti = get_current_context()['ti']\n"
        "    ti.xcom_push(NOTE, _reasons.note(ti, 'was killed by SIGKILL'))\n"
        "    raise ValueError\nload()"
    )
    assert run(text).events == [("trigger", f"{FAILED}load: was killed by SIGKILL")]
