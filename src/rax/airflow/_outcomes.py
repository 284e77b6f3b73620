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
_NOT_BEGUN = "was not begun: no worker took it in time"
# In a note that is not the task's own: who saw it end has noted why, see _reasons.
FOREIGN = "foreign"
# The parts of a workflow that have operators of their own.
CHECK, SUMMARY = "check", "summary"


def is_check(task: Any) -> bool:
    """Say whether an operator, mapped or not, is of ``@check``."""
    return _part(task) == CHECK


def is_summary(task: Any) -> bool:
    """Say whether an operator, mapped or not, is of ``@summary``."""
    return _part(task) == SUMMARY


def _part(task: Any) -> str:
    # A mapped task is not an instance of its operator's class.
    return getattr(getattr(task, "operator_class", type(task)), "workflow_part", "")


def map_index(ti: Any) -> int:
    """Return the index of a task instance, -1 where its task is not mapped."""
    return -1 if ti.map_index is None else ti.map_index


def collect(context: Any) -> Summary:
    """Return what everything upstream of this task has done, and what could not be found out."""
    ti, task, run = context["ti"], context["task"], context["dag_run"]
    upstream = task.get_flat_relatives(upstream=True)
    tasks = [other for other in task.dag.topological_sort() if other in upstream]
    gaps: list[str] = []
    crumbs = _attempt(lambda: _crumbs(ti), "states and durations of the tasks", gaps)
    notes = _attempt(lambda: _notes(ti, tasks), "what the tasks noted of themselves", gaps)
    outcomes = tuple(
        _outcome(ti, other, crumb, notes.get((other.task_id, crumb["map_index"]), {}))
        for other in tasks
        for crumb in crumbs.get(other.task_id, [{"map_index": -1, "state": UNKNOWN}])
        if crumb["state"] != "removed"
    )
    ends = {other.task_id for other in tasks if all(t.is_teardown for t in other.downstream_list)}
    states = [task.state for task in outcomes if task.task_id in ends]
    return dataclasses.replace(
        of_run(ti.dag_id, ti.run_id, task.dag),
        started=run.start_date,
        duration=_seconds_since(run.start_date),
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


def _outcome(ti: Any, task: Any, crumb: dict[str, Any], note: dict[str, Any]) -> TaskOutcome:
    index = crumb["map_index"]
    if crumb["state"] != ("failed" if "reason" in note else "success"):
        # The note is of another end: the task was cleared since and did not run, or somebody marked
        # it by hand.
        note = {}
    why = note.get("reason", "")
    if not why and crumb["state"] == "failed" and crumb.get("duration") == 0:
        # It began when it ended, as the scheduler writes down where nobody else did.
        why = _NOT_BEGUN
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
        pull=lambda: ti.xcom_pull(task_ids=task.task_id, map_indexes=index),
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


def unreported(dag: Any, ti: Any) -> str:
    """Return why a failed run's summary has not told of it, or nothing where it has.

    ``ti`` is of the task that failed last, which is the summary unless clocks differ, somebody has
    cleared or marked tasks, or the summary was not run.
    """
    summary = next(filter(is_summary, dag.tasks), None)
    if summary is None:
        # The tasks of a DAG that ``dag.test()`` has run are of no class here; its caller sees it.
        return ""
    unknown = f"{summary.task_id}: was killed, or could not start"
    if ti is None:
        return unknown
    if ti.task_id == summary.task_id and getattr(ti, "hostname", None) == "":
        unknown = f"{summary.task_id}: {_NOT_BEGUN}"
    try:
        note = ti.xcom_pull(task_ids=summary.task_id, key=NOTE) or {}
        if ti.task_id == summary.task_id:
            state, is_of_this_try = "failed", note.get("try_number") == ti.try_number
        else:
            state = _states(ti).get(summary.task_id, "removed")
            is_of_this_try = bool(note) and state == "failed"
    except Exception:
        # Without an answer it counts as not told: one alert too many is better than none.
        log.exception("What %s noted of itself cannot be got", summary.task_id)
        return unknown
    if is_of_this_try:
        return f"{summary.task_id}: {note['reason']}" if note.get(FOREIGN) else ""
    return unknown if state == "failed" else f"{summary.task_id}: is {state}, and was not run"


def failures_of(dag: Any, ti: Any) -> tuple[tuple[TaskOutcome, ...], tuple[str, ...]]:
    """Return what has failed in a run, but for its summary, and what could not be found out.

    The DAG processor answers no question for more than this: see ``_dag_processor``.
    """
    gaps: list[str] = []
    tasks = [task for task in dag.topological_sort() if not is_summary(task)]
    states = _attempt(lambda: _states(ti), "states of the tasks", gaps)
    found = [(task, *instance) for task in tasks for instance in _instances(task, states)]
    # Asked of these alone, since the runs that failed together share one process and its time.
    failed = list(dict.fromkeys(task for task, _index, state in found if state == "failed"))
    notes = _attempt(lambda: _notes(ti, failed), "what the tasks noted of themselves", gaps)
    outcomes = [
        _outcome(
            ti, task, {"map_index": index, "state": state}, notes.get((task.task_id, index), {})
        )
        for task, index, state in found
        if state in ("failed", "upstream_failed")
    ]
    return tuple(outcomes), tuple(gaps)


def _states(ti: Any) -> dict[str, str]:
    """Return the states of all tasks of the run, by id, and by id, "_" and index if mapped."""
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return {name: str(state) for name, state in states.items()}


def _instances(task: Any, states: dict[str, str]) -> list[tuple[int, str]]:
    """Return index and state of each instance of a task, -1 for the one that is not mapped."""
    found = [(-1, states[task.task_id])] if task.task_id in states else []
    prefix = f"{task.task_id}_"
    if task.is_mapped or task.get_closest_mapped_task_group():
        indexes = (name.removeprefix(prefix) for name in states if name.startswith(prefix))
        found += sorted((int(i), states[prefix + i]) for i in indexes if i.isdecimal())
    return found


def _date(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None


def _seconds_since(date: datetime.datetime | None) -> float | None:
    return (datetime.datetime.now(datetime.UTC) - date).total_seconds() if date else None
