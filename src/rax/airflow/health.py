# SPDX-License-Identifier: Apache-2.0
"""Prove that a cluster works: its components are healthy and its workers run tasks.

Run on a scheduler node, with the settings of its Airflow::

    airflow-env python -m rax.airflow.health --worker worker1 --worker worker2

It prints a JSON object and ends with 0 when there is no problem, with 1 otherwise. Its keys are

problems
    a list of ``host`` (empty: the cluster), ``component``, ``kind`` (docs/operations.md lists them)
    and ``problem``
workers
    worker → the host on which its task ran
jobs
    the newest heartbeat of each scheduler, DAG processor and triggerer: ``type``, ``hostname``,
    ``age_seconds``
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rax.airflow._served_logs import unreadable_logs

DAG_ID = "caspian_health"
BUNDLE = "caspian"
# How often a state that is not there yet is looked at again, in seconds.
POLL_SECONDS = 0.5
# How long a new run may lack its tasks before it is taken for one of an older parse, in seconds.
STALE_SECONDS = 5
ENDED = ("success", "failed")
PING_SECONDS = 2
# How long a worker that has not run its task may take to say that it is there, in seconds.
MAX_EXCUSE_SECONDS = 6
# The names that /api/v2/monitor/health uses, and those of the units.
COMPONENTS = {
    "metadatabase": "metadatabase",
    "scheduler": "scheduler",
    "dag_processor": "dag-processor",
    "triggerer": "triggerer",
}


@dataclass(frozen=True)
class Problem:
    """Something that keeps the cluster from working; ``host`` is empty where it is not known."""

    host: str
    component: str
    kind: str
    problem: str


def component_problems(report: dict[str, Any], wanted: Iterable[str]) -> list[Problem]:
    """Return what a reply of ``/api/v2/monitor/health`` complains of.

    Its HTTP status is 200 whatever it says, and a component that never ran has no status.

    >>> component_problems({"metadatabase": {"status": "healthy"}, "triggerer": {"status": None}},
    ...                    ["metadatabase", "triggerer"])
    [Problem(host='', component='triggerer', kind='silent', problem='it never reported')]
    """
    problems = []
    for name in wanted:
        state = report.get(name) or {}
        if state.get("status") == "healthy":
            continue
        heartbeat = next(
            (value for key, value in state.items() if key.startswith("latest_") and value), None
        )
        problem = (
            f"{state['status']}, last heartbeat {heartbeat}"
            if state.get("status")
            else "it never reported"
        )
        problems.append(Problem("", COMPONENTS[name], "silent", problem))
    return problems


def listed_workers(home: str | None = None) -> list[str]:
    """Return the workers that list_workers() wrote down last.

    Their file is in ``home``, or else in ``RAX_HEALTH_DIR`` or ``AIRFLOW_HOME``.
    """
    try:
        names = json.loads(_list_path(home).read_text())
    except FileNotFoundError:
        return []
    return [str(name) for name in names]


def _list_path(home: str | None = None) -> Path:
    folder = home or os.environ.get("RAX_HEALTH_DIR") or os.environ["AIRFLOW_HOME"]
    return Path(folder, "health_workers.json")


def list_workers(names: Iterable[str], home: str | None = None) -> bool:
    """Write down which workers the health DAG is to have, and return whether that is news."""
    wanted = sorted(set(names))
    if wanted == listed_workers(home):
        return False
    path = _list_path(home)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(wanted))
    aside.replace(path)
    return True


def _get_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - the URL is Airflow's own setting
        content = json.load(reply)
    if not isinstance(content, dict):
        raise ValueError(f"{url} did not answer with a JSON object")
    return content


def wait_for_components(api_url: str, wanted: list[str], deadline: float) -> list[Problem]:
    """Wait until the API server and the components behind it are healthy.

    Return what is not at the deadline.
    """
    while True:
        try:
            problems = component_problems(_get_json(f"{api_url}/api/v2/monitor/health"), wanted)
            _get_json(f"{api_url}/execution/health")
        except (OSError, ValueError) as error:
            silent = f"{api_url} does not answer: {error}"
            problems = [Problem("", "api-server", "silent", silent)]
        if not problems or time.monotonic() > deadline:
            return problems
        time.sleep(POLL_SECONDS)


def ping(workers: list[str]) -> tuple[list[str], list[Problem]]:
    """Return the workers that do not answer a Celery ping, or what is wrong with the broker."""
    from airflow.providers.celery.executors.celery_executor import app
    from kombu.exceptions import KombuError

    if not workers:
        return [], []
    try:
        asked = [f"celery@{name}" for name in workers]
        replies = app.control.inspect(destination=asked, timeout=PING_SECONDS).ping() or {}
    except (OSError, KombuError) as error:
        # The broker's URL has a password in it: name the kind of error alone.
        silent = f"it does not answer: {type(error).__name__}"
        return workers, [Problem("", "broker", "silent", silent)]
    return [name for name in workers if f"celery@{name}" not in replies], []


def wait_for_pings(workers: list[str], deadline: float) -> list[Problem]:
    """Wait until every worker answers a Celery ping; return those that don't at the deadline."""
    silent, broken = ping(workers)
    while (silent or broken) and time.monotonic() <= deadline:
        silent, broken = ping(silent or workers)
    return broken or [
        Problem(name, "worker", "silent", "it does not answer a Celery ping") for name in silent
    ]


def serialize_health_dag() -> None:
    """Write the DAG's present tasks to the metadata database, not waiting for the next parse."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    bundle = next(
        bundle for bundle in DagBundlesManager().get_all_dag_bundles() if bundle.name == BUNDLE
    )
    bundle.initialize()
    bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=BUNDLE)
    sync_bag_to_db(bag, BUNDLE, bundle_version=None)


def run_tasks(
    workers: list[str], deadline: float
) -> tuple[list[Problem], dict[str, str], dict[str, str]]:
    """Have every worker run a task; return the problems, where each ran, and its log in the API."""
    from airflow import settings
    from airflow.api.client import get_current_api_client
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    while True:
        run_id = f"health__{uuid.uuid4()}"
        get_current_api_client().trigger_dag(dag_id=DAG_ID, run_id=run_id)
        question = select(
            TaskInstance.task_id,
            TaskInstance.state,
            TaskInstance.hostname,
            TaskInstance.try_number,
        ).where(TaskInstance.dag_id == DAG_ID, TaskInstance.run_id == run_id)
        began = time.monotonic()
        while True:
            with settings.Session() as session:
                rows = {task: tuple(row) for task, *row in session.execute(question)}
            states = {name: rows.get(f"on_{name}", (None, None, 0)) for name in workers}
            pending = [name for name, (state, *_rest) in states.items() if state not in ENDED]
            missing = [name for name in workers if f"on_{name}" not in rows]
            late = time.monotonic() > deadline
            if not pending or late or (missing and time.monotonic() - began > STALE_SECONDS):
                break
            time.sleep(POLL_SECONDS)
        if not missing or late:
            break
        # A parse that began before the workers were listed has overwritten the tasks since.
        serialize_health_dag()
    problems = [
        Problem(
            name,
            "worker",
            "no-task",
            f"the task sent to it is {state or 'not scheduled'} (run {run_id} of {DAG_ID})",
        )
        for name, (state, *_rest) in states.items()
        if state != "success"
    ]
    ran = {name: row for name, row in states.items() if row[0] == "success"}
    tasks = f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances"
    return (
        problems,
        {name: str(host) for name, (_state, host, _number) in ran.items()},
        {
            name: f"{tasks}/{urllib.parse.quote(f'on_{name}', safe='')}/logs/{number}"
            for name, (_state, _host, number) in ran.items()
        },
    )


def prove(workers: list[str], known: list[str], seconds: float) -> tuple[list[Problem], Any]:
    """Have the workers run a task each; return the problems, and where each task ran.

    All have the same time: one that is away takes none of the others'. Those of `known` are
    workers of the cluster, too, and are not asked.
    """
    deadline = time.monotonic() + seconds
    _silent, broken = ping(workers)
    while broken and time.monotonic() <= deadline:
        _silent, broken = ping(workers)
    if broken:
        return broken, {}
    if list_workers([*workers, *known]):
        serialize_health_dag()
    late, ran, logs = run_tasks(workers, time.monotonic() + seconds)
    silent = wait_for_pings(
        [problem.host for problem in late], time.monotonic() + MAX_EXCUSE_SECONDS
    )
    # Why its task did not run: it is away, or it has other things to do.
    explained = {problem.host for problem in silent}
    late = [problem for problem in late if problem.host not in explained]
    return silent + late + log_problems(logs), ran


def log_problems(paths: dict[str, str]) -> list[Problem]:
    """Return a problem for each worker of which a log can't be read; takes its path in the API."""
    from airflow.configuration import conf

    api_url = conf.get("api", "base_url", fallback="").rstrip("/")
    return [
        Problem(name, "worker", "logs", f"the UI can't read the logs of its tasks: {reason}")
        for name, reason in unreadable_logs(api_url, paths).items()
    ]


def examine(options: argparse.Namespace) -> dict[str, Any]:
    """Return what main() prints."""
    from airflow.configuration import conf

    from rax.airflow import _cluster

    deadline = time.monotonic() + options.timeout
    api_url = conf.get("api", "base_url").rstrip("/")
    ran: dict[str, str] = {}
    jobs: list[dict[str, Any]] = []
    problems = wait_for_components(api_url, ["metadatabase"], deadline)
    answers = not problems
    if answers and options.worker and options.tasks:
        problems, ran = prove(options.worker, options.known_worker, options.timeout)
    else:
        problems += wait_for_pings(options.worker, deadline)
    if answers:
        problems += wait_for_components(api_url, list(COMPONENTS), deadline)
        problems += [
            Problem("", file, "import-error", problem) for file, problem in _cluster.import_errors()
        ]
        jobs = _cluster.heartbeats()
    return {"problems": [asdict(problem) for problem in problems], "workers": ran, "jobs": jobs}


def examine_or_say_why_not(options: argparse.Namespace) -> dict[str, Any]:
    """Return what examine() does, or that the metadata database went away meanwhile."""
    from sqlalchemy.exc import DBAPIError

    try:
        return examine(options)
    except DBAPIError as error:
        # Its text has the statement, and where that was sent.
        what = f"it did not answer to the end: {type(error.orig).__name__}"
        problem = Problem("", "metadatabase", "silent", what)
        return {"problems": [asdict(problem)], "workers": {}, "jobs": []}


def main(arguments: list[str] | None = None) -> int:
    """Check the cluster of the environment's settings, print the result, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rax.airflow.health", description=__doc__)
    parser.add_argument(
        "--worker", action="append", default=[], help="a worker that has to run a task"
    )
    parser.add_argument(
        "--known-worker", action="append", default=[], help="a worker of the cluster, not asked now"
    )
    parser.add_argument(
        "--timeout", type=float, default=120, help="seconds to wait (default: %(default)s)"
    )
    parser.add_argument(
        "--no-tasks",
        action="store_false",
        dest="tasks",
        help="ask the workers whether they are there, and have them run nothing",
    )
    options = parser.parse_args(arguments)
    # Airflow logs to standard output, which is for the result: it gets the place of the errors.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    found = examine_or_say_why_not(options)
    with result:
        json.dump(found, result)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
