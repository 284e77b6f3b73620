# SPDX-License-Identifier: Apache-2.0
"""What the tasks of a run have done: what they noted of themselves, collected for the summary."""

import dataclasses
import datetime
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from rax.airflow._releases import release, release_url
from rax.workflow import _alerts
from rax.workflow._summary import UNKNOWN, Summary, TaskOutcome
from rax.workflow._text import reason

log = logging.getLogger("rax.workflow")

# The XCom in which a task notes what the summary cannot get otherwise: of other tasks, Airflow
# gives a task the states and durations, and nothing else.
NOTE = "rax_outcome"
# Why a task failed that the scheduler has offered to workers for as long as it does.
NOT_BEGUN = "was not begun: no worker took it in time"
# In a note that is not the task's own: who saw it end has noted why, see _reasons.
FOREIGN = "foreign"
# The parts of a workflow that have operators of their own.
CHECK, SUMMARY = "check", "summary"
_OPERATORS = "rax.airflow.workflow"


def is_check(task: Any) -> bool:
    """Say whether an operator, mapped or not, is of ``@check``."""
    return _part(task) == CHECK


def is_summary(task: Any) -> bool:
    """Say whether an operator, mapped or not, is of ``@summary``."""
    return _part(task) == SUMMARY


def _part(task: Any) -> str:
    # A mapped task is not an instance of its operator's class.
    part = getattr(getattr(task, "operator_class", type(task)), "workflow_part", "")
    if not part and getattr(task, "_task_module", "") == _OPERATORS:
        # The scheduler knows tasks by what the DAG processor has stored of them: no class.
        part = task.operator_name.removeprefix("@")
    return part


def map_index(ti: Any) -> int:
    """Return the index of a task instance, -1 where its task is not mapped."""
    return -1 if ti.map_index is None else ti.map_index


def collect(context: Any) -> Summary:
    """Return what everything upstream of this task has done, and what could not be found out."""
    ti, task, run = context["ti"], context["task"], context["dag_run"]
    upstream = task.get_flat_relatives(upstream=True)
    tasks = [other for other in task.dag.topological_sort() if other in upstream]
    gaps: list[str] = []

    def pull(task_id: str, index: int) -> Callable[[], object]:
        return lambda: ti.xcom_pull(task_ids=task_id, map_indexes=index)

    crumbs = _attempt(lambda: _crumbs(ti), "states and durations of the tasks", gaps)
    notes = _attempt(lambda: _notes(ti, tasks), "what the tasks noted of themselves", gaps)
    outcomes = tuple(
        outcome(
            other,
            crumb,
            notes.get((other.task_id, crumb["map_index"]), {}),
            pull(other.task_id, crumb["map_index"]),
        )
        for other in tasks
        for crumb in crumbs.get(other.task_id, [{"map_index": -1, "state": UNKNOWN}])
        if crumb["state"] != "removed"
    )
    ends = {other.task_id for other in tasks if all(t.is_teardown for t in other.downstream_list)}
    states = [task.state for task in outcomes if task.task_id in ends]
    started = _started(run, outcomes, getattr(ti, "start_date", None))
    return dataclasses.replace(
        of_run(ti.dag_id, ti.run_id, task.dag),
        started=started,
        duration=seconds_since(started),
        tasks=outcomes,
        idle=set(states) == {"skipped"},
        gaps=tuple(gaps),
    )


def _crumbs(ti: Any) -> dict[str, list[dict[str, Any]]]:
    crumbs: dict[str, list[dict[str, Any]]] = {}
    for crumb in ti.get_task_breadcrumbs(dag_id=ti.dag_id, run_id=ti.run_id):
        crumbs.setdefault(crumb["task_id"], []).append(crumb)
    return crumbs


def _notes(ti: Any, tasks: list[Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {
        (task.task_id, note["map_index"]): note
        for task in tasks
        for note in ti.xcom_pull(task_ids=[task.task_id], key=NOTE)
        if note
    }


def outcome(
    task: Any,
    crumb: dict[str, Any],
    note: dict[str, Any],
    pull: Callable[[], object] = lambda: None,
) -> TaskOutcome:
    """Return what became of a task, by Airflow's crumb of it and what was noted of it."""
    index = crumb["map_index"]
    if crumb["state"] != ("failed" if "reason" in note else "success"):
        # The note is of another end: the task was cleared since and did not run, or somebody marked
        # it by hand.
        note = {}
    why = note.get("reason", "")
    if not why and crumb["state"] == "failed" and crumb.get("duration") == 0:
        # It began when it ended, as the scheduler writes down where nobody else did.
        why = NOT_BEGUN
    return TaskOutcome(
        task_id=task.task_id,
        map_index=index,
        state=str(crumb["state"]),
        duration=crumb.get("duration"),
        start=_date(note.get("start")),
        end=_date(note.get("end")),
        try_number=note.get("try_number"),
        rows=note.get("rows"),
        shown=note.get("shown", ""),
        reason=why,
        is_check=is_check(task),
        alerted=note.get("alerted", False),
        pull=pull,
    )


def _attempt(get: Callable[[], dict[Any, Any]], what: str, gaps: list[str]) -> dict[Any, Any]:
    try:
        return get()
    except Exception as error:
        log.exception("The report goes without %s", what)
        gaps.append(f"{what}: {reason(error)}")
        return {}


def of_run(dag_id: str, run_id: str, dag: Any = None) -> Summary:
    """Return a summary of the run that knows nothing of its tasks yet; the DAG says its release."""
    return Summary(
        workflow=dag_id,
        run_id=run_id,
        environment=_alerts.environment(),
        release=release(dag),
        release_url=release_url(release(dag)),
        url=run_url(dag_id, run_id),
    )


def run_url(dag_id: str, run_id: str) -> str | None:
    """Return the run in Airflow's UI, or None where ``[api] base_url`` is not set."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="")
    return f"{base.rstrip('/')}/dags/{dag_id}/runs/{quote(run_id)}" if base else None


def _started(
    run: Any, outcomes: tuple[TaskOutcome, ...], own: datetime.datetime | None
) -> datetime.datetime | None:
    """Return when the run began: where a test has its logical date for that, as its tasks have it.

    ``dag.test()`` gives a run the logical date for its start, which may be years ago or to come.
    """
    if run.start_date is None or run.start_date != run.logical_date:
        found: datetime.datetime | None = run.start_date
        return found
    starts = [date for date in (*(task.start for task in outcomes), own) if date]
    return min(starts, default=None)


def _date(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None


def seconds_since(date: datetime.datetime | None) -> float | None:
    """Return how long ago that was, or None where it is not known."""
    return (datetime.datetime.now(datetime.UTC) - date).total_seconds() if date else None
