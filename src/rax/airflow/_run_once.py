# SPDX-License-Identifier: Apache-2.0
"""Runs a workflow once, in this process, for ``rax run``, which starts it and reads its output.

usage: python -m rax.airflow._run_once TASK, a file with a Task as JSON. Airflow has to find its
settings in the environment. All that is logged goes to standard output, a line of JSON each.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import signal
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rax.airflow._local_runs import make_database, masked_output, retry_at_once, start_api


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be run, and where the Result goes."""

    workflow: str
    dags: str
    # What goes to the end of sys.path.
    path: list[str]
    conf: dict[str, Any] | None
    # In ISO 8601; None is now.
    logical_date: str | None
    # Where a copy of the new metadata database goes; nothing where there is one already.
    template: str
    result: str
    # A pipe that ends with whoever waits for the result.
    lifeline: int


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of it: of a workflow that is not there, what is."""

    # Airflow's, of the run; nothing where there was none.
    state: str = ""
    # The files of the workflows that there are, and how many files could not be loaded.
    workflows: dict[str, str] = dataclasses.field(default_factory=dict)
    broken: int = 0
    # The table of the tasks, for a DAG that has no summary of its own.
    report: str = ""


def main() -> None:
    """Do the task, and write the result; what goes wrong besides is on standard output."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text()))
    threading.Thread(target=_end_with, args=[task.lifeline], daemon=True).start()
    sys.path += task.path
    from airflow import settings

    settings.initialize()
    if task.template:
        make_database(Path(task.template))
    result = _run(task)
    new = Path(f"{task.result}.new")
    new.write_text(json.dumps(dataclasses.asdict(result)))
    new.replace(task.result)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _run(task: Task) -> Result:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=task.dags, bundle_path=Path(task.dags), bundle_name="dags-folder")
    dag = bag.dags.get(task.workflow)
    if dag is None:
        files = {dag_id: str(found.fileloc) for dag_id, found in bag.dags.items()}
        return Result(workflows=files, broken=len(bag.import_errors))
    reasons: dict[tuple[str, int], str] = {}
    for one in dag.tasks:
        retry_at_once(one)
        _note_reasons(one, reasons)
    options: dict[str, Any] = {}
    if task.logical_date:
        options["logical_date"] = datetime.datetime.fromisoformat(task.logical_date)
    start_api()
    # As the supervisor of a node's task masks what the task prints. Who reads this masks all
    # credentials besides, also in what other programs write.
    with contextlib.redirect_stdout(masked_output()):
        ended = dag.test(run_conf=task.conf, **options)
    return Result(state=str(ended.state), report=_report(dag, ended, reasons))


def _note_reasons(task: Any, reasons: dict[tuple[str, int], str]) -> None:
    """Have the task note why it failed, since no summary may do so."""
    from rax.airflow._outcomes import map_index
    from rax.workflow._text import reason

    def note(context: Any) -> None:
        reasons[context["ti"].task_id, map_index(context["ti"])] = reason(context.get("exception"))

    before = task.on_failure_callback or []
    before = list(before) if isinstance(before, Collection) else [before]
    task.on_failure_callback = [*before, note]


def _report(dag: Any, run: Any, reasons: dict[tuple[str, int], str]) -> str:
    """Return the table of the tasks, for a DAG without a summary."""
    from rax.airflow._outcomes import is_summary, of_run
    from rax.workflow._summary import TaskOutcome

    if any(map(is_summary, dag.tasks)):
        return ""
    order = [task.task_id for task in dag.topological_sort()]
    instances = sorted(
        run.get_task_instances(), key=lambda one: (order.index(one.task_id), one.map_index)
    )
    outcomes = tuple(
        TaskOutcome(
            task_id=one.task_id,
            map_index=one.map_index,
            state=str(one.state),
            duration=one.duration,
            try_number=one.try_number or None,
            reason=reasons.get((one.task_id, one.map_index), ""),
        )
        for one in instances
        if str(one.state) != "removed"
    )
    return str(dataclasses.replace(of_run(run.dag_id, run.run_id, dag), tasks=outcomes))


if __name__ == "__main__":
    main()
