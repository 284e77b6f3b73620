"""Runs a DAG's tasks as a worker does, each in a process of its own, for test_secrets.py.

usage: run_tasks.py FOLDER, where tasks.json has a list of {task, pass, mode}: before each task, the
credential gets this password and mode. Writes results.json there, for each its state, its log, and
the connections that the API server was asked for.
"""

import json
import os
import sys
import uuid
from pathlib import Path

import httpx
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import BundleInfo, TaskInstance
from airflow.sdk.execution_time.supervisor import supervise_task

NOW = "2026-01-01T00:00:00Z"
DAG_RUN = {
    "dag_id": "example",
    "run_id": "run",
    "run_type": "manual",
    "state": "running",
    "consumed_asset_events": [],
    "end_date": None,
    "partition_key": None,
    **dict.fromkeys(
        ("logical_date", "run_after", "start_date", "data_interval_start", "data_interval_end"), NOW
    ),
}
requests = []


def answer(request):
    """Answer as the API server does, with none of its connections."""
    *_, kind, name = request.url.path.split("/")
    requests.append((kind, name, json.loads(request.content or "{}")))
    if kind == "connections":
        return httpx.Response(404, json={"detail": {"reason": "not_found", "message": name}})
    if name == "run":
        return httpx.Response(200, json={"dag_run": DAG_RUN, "max_tries": 0, "should_retry": False})
    return httpx.Response(200, json={})


def instance(task):
    """Return the first try of a task in the run."""
    return TaskInstance(
        id=uuid.uuid4(),
        task_id=task,
        dag_id="example",
        run_id="run",
        try_number=1,
        dag_version_id=uuid.uuid4(),
    )


def run(task, log):
    """Return the state in which the task ends, and the ids of connections that it asked for."""
    requests.clear()
    supervise_task(
        ti=instance(task),
        bundle_info=BundleInfo(name="dags-folder"),
        dag_rel_path="example.py",
        token="",
        client=Client(base_url=None, dry_run=True, token="", transport=httpx.MockTransport(answer)),
        log_path=str(log),
    )
    (state,) = [body["state"] for _, name, body in requests if name == "state"]
    return state, [name for kind, name, _ in requests if kind == "connections"]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (file,) = Path(os.environ["RAX_CREDENTIALS_DIR"]).iterdir()
    results = []
    for number, step in enumerate(json.loads((folder / "tasks.json").read_text())):
        new = file.with_name("new")
        new.touch(0o600)
        new.write_text(json.dumps({**json.loads(file.read_text()), "pass": step["pass"]}))
        new.chmod(step["mode"])
        new.rename(file)
        log = folder / f"{number}.log"
        state, asked = run(step["task"], log)
        results.append({"state": state, "asked": asked, "log": log.read_text()})
    (folder / "results.json").write_text(json.dumps(results))
