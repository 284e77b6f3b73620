# SPDX-License-Identifier: Apache-2.0
"""The alert of a failed run whose summary could not tell of it: the scheduler does.

The scheduler ends each run, and knows all that is known of it. No code of authors takes part: a
callback of theirs may hang or kill the process that it runs in, and a DAG may not be importable
any more. The alert is put into the spool of the scheduler's node before the scheduler stores the
end of the run, and cron sends it within a minute: the scheduler itself does not wait for PagerDuty.
"""

import dataclasses
import graphlib
import logging
from collections import deque
from typing import Any

from rax.airflow._outcomes import (
    FOREIGN,
    NOT_BEGUN,
    NOTE,
    is_summary,
    of_run,
    outcome,
    seconds_since,
)
from rax.airflow._releases import release_url
from rax.workflow import _alerts
from rax.workflow._summary import TaskOutcome

log = logging.getLogger("rax.workflow")

# Airflow's words for why the scheduler ended a run.
_TIMED_OUT, _STUCK = "timed_out", "all_tasks_deadlocked"
_BAD = ("failed", "upstream_failed")
# The runs that this process has told of, with how often they were cleared: where the database
# refuses what the scheduler would store of a run, the scheduler ends the run once more.
_told: deque[tuple[int, int]] = deque(maxlen=1000)


def run_failed(run: Any, cause: str) -> None:
    """Open the incident where the summary of a run could not.

    :param run: Airflow's ``DagRun``, in the session that ends it
    :param cause: why the scheduler ends it, in Airflow's words
    """
    summary = next(filter(is_summary, run.dag.tasks), None)
    end = (run.id, run.clear_number)
    if summary is None or end in _told:
        return
    tasks, notes = _looked_up(run, summary)
    own = next((task for task in tasks if task.task_id == summary.task_id), None)
    why = _unreported(summary.task_id, own, notes.get((summary.task_id, -1), {}))
    if why and (own is None or own.state != "failed"):
        why = _why_ended(run, cause, tasks, summary) or why
    if not why:
        return
    found = dataclasses.replace(
        of_run(run.dag_id, run.run_id),
        release=run.bundle_version,
        release_url=release_url(run.bundle_version),
        started=run.start_date,
        duration=seconds_since(run.start_date),
        tasks=_outcomes(run, tasks, notes, summary),
        problem=why,
    )
    log.error("%s", found.headline())
    if _alerts.run_failed(found, is_to_wait=True) != "lost":
        _told.append(end)


def _looked_up(run: Any, summary: Any) -> tuple[list[Any], dict[tuple[str, int], dict[str, Any]]]:
    """Return the tasks of a run that matter to the alert, and what was noted of them."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import or_, select
    from sqlalchemy.orm import object_session

    session = object_session(run)
    ti = TaskInstance
    is_of_run = ti.dag_id == run.dag_id, ti.run_id == run.run_id
    # Those that the scheduler skips as it ends a run have no end.
    unfinished = (ti.state == "skipped") & ti.start_date.is_not(None) & ti.end_date.is_(None)
    matters = or_(ti.task_id == summary.task_id, ti.state.in_(_BAD), unfinished)
    columns = ti.task_id, ti.map_index, ti.state, ti.duration, ti.try_number, ti.hostname
    # What the scheduler has changed, before a savepoint: nothing that fails here may undo that. One
    # of the session itself would be refused, as the scheduler lets nobody else end anything there.
    session.flush()
    with session.no_autoflush, session.connection().begin_nested():
        tasks = session.execute(
            select(*columns, ti.start_date).where(*is_of_run, matters).order_by(ti.map_index)
        ).all()
        noted = session.execute(
            select(XComModel.task_id, XComModel.map_index, XComModel.value).where(
                XComModel.dag_id == run.dag_id,
                XComModel.run_id == run.run_id,
                XComModel.key == NOTE,
                XComModel.task_id.in_({task.task_id for task in tasks}),
            )
        ).all()
    # Of a task that others add, anything may be there by that name.
    notes = {
        (row.task_id, row.map_index): row.value for row in noted if isinstance(row.value, dict)
    }
    return list(tasks), notes


def _why_ended(run: Any, cause: str, tasks: list[Any], summary: Any) -> str:
    """Return why Airflow has ended the run, or nothing where its tasks have."""
    if cause == _STUCK:
        return "the run is stuck: none of its tasks can run, its summary neither"
    if cause != _TIMED_OUT:
        return ""
    limit = f" of {run.dag.dagrun_timeout}" if run.dag.dagrun_timeout else ""
    begun = [task for task in tasks if task.state == "skipped" and task.task_id != summary.task_id]
    last = max(begun, key=lambda task: task.start_date, default=None)
    late = f" ({last.task_id} had not ended)" if last else ""
    return f"the run took longer than its dagrun_timeout{limit}, and its summary was skipped{late}"


def _unreported(task_id: str, own: Any, note: dict[str, Any]) -> str:
    """Return why the summary has not told of the run, or nothing where it has."""
    state = own.state if own else "removed"
    if state == "success":
        return f"{task_id}: had ended before the run failed"
    if state != "failed":
        return f"{task_id}: is {state or 'not scheduled'}, and was not run"
    if note.get("try_number") != own.try_number:
        return f"{task_id}: {'was killed, or could not start' if own.hostname else NOT_BEGUN}"
    return f"{task_id}: {note.get('reason')}" if note.get(FOREIGN) else ""


def _outcomes(
    run: Any, tasks: list[Any], notes: dict[tuple[str, int], dict[str, Any]], summary: Any
) -> tuple[TaskOutcome, ...]:
    """Return what has failed besides the summary, in the order of the DAG."""
    order = graphlib.TopologicalSorter(
        {task.task_id: sorted(task.upstream_task_ids) for task in run.dag.tasks}
    ).static_order()
    places = {task_id: place for place, task_id in enumerate(order)}
    by_id = {task.task_id: task for task in run.dag.tasks}
    failed = [
        task
        for task in tasks
        if task.state in _BAD and task.task_id in by_id and task.task_id != summary.task_id
    ]
    return tuple(
        outcome(
            by_id[task.task_id],
            {"map_index": task.map_index, "state": task.state, "duration": task.duration},
            notes.get((task.task_id, task.map_index), {}),
        )
        for task in sorted(failed, key=lambda task: places[task.task_id])
    )
