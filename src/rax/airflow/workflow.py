# SPDX-License-Identifier: Apache-2.0
"""The operators behind ``rax.workflow``, and what every task of a workflow notes of itself."""

import contextlib
import dataclasses
import datetime
import inspect
import logging
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator
from airflow.sdk.exceptions import AirflowSkipException

from rax.errors import RunFailedError, WorkflowError
from rax.workflow import _alerts
from rax.workflow._summary import UNKNOWN, Summary, TaskOutcome, name_of, rows_of
from rax.workflow._text import details, reason, shown

log = logging.getLogger("rax.workflow")

# The XCom in which a task notes what the summary cannot get otherwise: in a task, Airflow tells
# states and durations of others, and nothing else.
NOTE = "rax_outcome"
# A check that hangs would hold up the run for ever.
CHECK_TIMEOUT = datetime.timedelta(minutes=10)


class _FunctionOperator(DecoratedOperator, PythonOperator):  # type: ignore[misc]  # Airflow is not here when types are checked
    """A function as a task: what Airflow's own, private, operator of ``@task`` is."""

    def __init__(
        self,
        *,
        python_callable: Callable[..., object],
        op_args: Collection[Any] = (),
        op_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        arguments = {
            "python_callable": python_callable,
            "op_args": op_args,
            "op_kwargs": op_kwargs or {},
        }
        super().__init__(kwargs_to_upstream=arguments, **arguments, **options)
        _refuse_retries(self)


class CheckOperator(_FunctionOperator):
    """The operator of ``@check``."""

    custom_operator_name = "@check"

    def __init__(self, **options: Any) -> None:
        """Make the task; it gets ten minutes unless it is given an execution_timeout."""
        super().__init__(**options)
        self.execution_timeout: datetime.timedelta = self.execution_timeout or CHECK_TIMEOUT
        observe(self)


class SummaryOperator(_FunctionOperator):
    """The operator of ``@summary``: it collects, reports and fails when anything has failed."""

    custom_operator_name = "@summary"

    def __init__(
        self,
        *,
        python_callable: Callable[..., object],
        op_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Make the task; a parameter ``summary`` of the function is filled when it runs."""
        self._takes_summary = "summary" in inspect.signature(python_callable).parameters
        placeholder = {"summary": None} if self._takes_summary else {}
        super().__init__(
            python_callable=python_callable,
            op_kwargs={**(op_kwargs or {}), **placeholder},
            **options,
        )
        self._found: Summary | None = None
        # After the run's state is told: no alert can change that, or be cut short by a time-out.
        self.on_success_callback: Any = [*self.on_success_callback, summary_succeeded]
        self.on_failure_callback: Any = [*self.on_failure_callback, summary_failed]
        # In a DAG that is no workflow: nobody else tells it and its tasks.
        if self.has_dag():
            observe_run(self.dag)
            for task in self.dag.tasks:
                observe(task)

    def execute(self, context: Any) -> Any:
        """Report what the run has done, and what the function makes of it.

        :raises RunFailedError: anything has failed, in the tasks or in the function
        """
        found = collect(context)
        returned, problem = None, None
        if self._takes_summary:
            self.op_kwargs: Any = {**self.op_kwargs, "summary": found}
        try:
            returned = super().execute(context)
        except AirflowSkipException:
            # Not the state of this task, which is the state of the run.
            log.info("The summary's function has nothing to say")
        except BaseException as error:
            problem = error
        self._found = found = _with_own(found, self.task_id, returned, problem)
        log.log(logging.ERROR if found.state == "failed" else logging.INFO, "%s", found)
        log.info("%s", found.to_json())
        if found.state == "failed":
            raise RunFailedError(found.headline()) from problem
        return returned


def is_check(task: Any) -> bool:
    """Tell whether an operator, mapped or not, is of ``@check``."""
    return issubclass(getattr(task, "operator_class", type(task)), CheckOperator)


def is_summary(task: Any) -> bool:
    """Tell whether an operator, mapped or not, is of ``@summary``."""
    return issubclass(getattr(task, "operator_class", type(task)), SummaryOperator)


def _refuse_retries(task: Any) -> None:
    if task.retries:
        kind = getattr(task, "operator_class", type(task)).custom_operator_name
        raise WorkflowError(f"{kind} {task.task_id} is not retried: leave out 'retries'")


# What a task notes of itself


def observe(task: Any) -> None:
    """Have an operator, mapped or not, note what its summary wants to know.

    :raises WorkflowError: it is a check that is to be retried
    """
    if is_summary(task):
        return
    if is_check(task):
        # Of a mapped one there is no CheckOperator yet.
        _refuse_retries(task)
    hooks = task.partial_kwargs if task.is_mapped else vars(task)
    own_hook = "post_execute" if task.is_mapped else "_post_execute_hook"
    # A hook of the author stays alone: chained, it could not be serialised with a mapped task.
    if hooks.get(own_hook) is None:
        hooks[own_hook] = note_success
    _call_on_failure(task, check_failed if is_check(task) else note_failure)


def observe_run(dag: Any) -> None:
    """Have a DAG tell of runs that fail without a word of their summary."""
    _call_on_failure(dag, run_failed)
    # What the scheduler looks at: the DAG has set it when it was made.
    dag.has_on_failure_callback = True


def _call_on_failure(owner: Any, callback: Callable[[Any], None]) -> None:
    callbacks = owner.on_failure_callback or []
    callbacks = list(callbacks) if isinstance(callbacks, Collection) else [callbacks]
    if callback not in callbacks:
        owner.on_failure_callback = [*callbacks, callback]


def note_success(context: Any, result: Any = None) -> None:
    """Note what the task returned: Airflow's hook ``post_execute``."""
    # Whatever it returned, this is not what fails it.
    with contextlib.suppress(Exception):
        _note(context, rows=rows_of(result), shown=shown(result))


def note_failure(context: Any) -> None:
    """Note why the task failed: Airflow's ``on_failure_callback``."""
    _note(context, reason=reason(context.get("exception")))


def check_failed(context: Any) -> None:
    """Open the incident, and note that: ``on_failure_callback`` of a check."""
    ti, why = context["ti"], reason(context.get("exception"))
    check = name_of(ti.task_id, _map_index(ti))
    log.error("The check %s failed: %s", check, why)
    details = {
        "environment": _alerts.environment(),
        "run_id": ti.run_id,
        "run": run_url(ti.dag_id, ti.run_id),
        "release": _release(),
        "check": check,
        "reason": why,
    }
    alerted = _alerts.check_failed(ti.dag_id, check, why, details)
    _note(context, reason=why, alerted=alerted)


def _note(context: Any, **fields: Any) -> None:
    ti = context["ti"]
    start = getattr(ti, "start_date", None)
    note = {
        "map_index": _map_index(ti),
        "try_number": ti.try_number,
        "start": start.isoformat() if start else None,
        "end": datetime.datetime.now(datetime.UTC).isoformat(),
        **fields,
    }
    # Where a worker was lost, this runs in the DAG processor, which cannot push.
    with contextlib.suppress(Exception):
        ti.xcom_push(NOTE, note)


def _map_index(ti: Any) -> int:
    return -1 if ti.map_index is None else ti.map_index


# What the summary sees


def collect(context: Any) -> Summary:
    """Return what everything upstream of this task has done; what cannot be got is said in it."""
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
        _of_run(ti.dag_id, ti.run_id),
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
        # That was another end: it was cleared since and did not run, or was marked by hand.
        note = {}
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
        reason=note.get("reason", ""),
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


def _with_own(
    found: Summary, task_id: str, returned: object, problem: BaseException | None
) -> Summary:
    """Return the summary with what its function returned or raised."""
    return dataclasses.replace(
        found,
        details=details(returned),
        problem="" if problem is None else f"{task_id}: {reason(problem)}",
    )


def _date(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None


def _seconds_since(date: datetime.datetime | None) -> float | None:
    return (datetime.datetime.now(datetime.UTC) - date).total_seconds() if date else None


def _release() -> str | None:
    release = os.environ.get("RAX_RELEASE_DIR")
    return Path(release).name if release else None


def run_url(dag_id: str, run_id: str) -> str | None:
    """Return the run in Airflow's UI, or None where ``[api] base_url`` is not set."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="")
    return f"{base.rstrip('/')}/dags/{dag_id}/runs/{quote(run_id)}" if base else None


# What the summary's end does to the incident


def summary_succeeded(context: Any) -> None:
    """Close the incident, unless there was nothing to do."""
    found = context["task"]._found
    if found is None or found.state == "success":
        _alerts.run_succeeded(context["ti"].dag_id)


def summary_failed(context: Any) -> None:
    """Open the incident, or add to it, unless a check has told all that there is."""
    ti, found = context["ti"], getattr(context["task"], "_found", None)
    if found is None or found.state != "failed":
        # It was killed, or what its function returned is nothing that Airflow can keep.
        why = f"{ti.task_id}: {reason(context.get('exception'))}"
        found = found or _of_run(ti.dag_id, ti.run_id)
        found = dataclasses.replace(found, problem=why)
        log.error("%s", found.headline())
    failures = [task for task in found.failures if task.state != "upstream_failed"]
    if failures and all(task.alerted for task in failures):
        log.info("The failed check has opened the incident already")
    else:
        _alerts.run_failed(found)
    _note(context)


def run_failed(context: Any) -> None:
    """Open the incident where the summary could not: ``on_failure_callback`` of the DAG."""
    reasons = {
        "timed_out": "the run took longer than its dagrun_timeout, and its summary was skipped",
        "all_tasks_deadlocked": "the run is stuck: none of its tasks can run, its summary neither",
    }
    why = reasons.get(context.get("reason", ""), "")
    # Its supervisor calls nobody when a process is killed, as by the kernel for want of memory.
    if not why and "ti" in context and is_summary(context["task"]) and not _told(context["ti"]):
        why = f"{context['ti'].task_id}: was killed, or could not start"
    if why:
        found = _of_run(context["dag"].dag_id, context["run_id"])
        _alerts.run_failed(dataclasses.replace(found, problem=why))


def _told(ti: Any) -> bool:
    """Return whether the last try of a summary has told that it failed."""
    try:
        note = ti.xcom_pull(task_ids=ti.task_id, key=NOTE)
    except Exception:
        # One alert too many is better than none.
        log.exception("What %s noted of itself cannot be got", ti.task_id)
        return False
    return bool(note) and note["try_number"] == ti.try_number


def _of_run(dag_id: str, run_id: str) -> Summary:
    return Summary(
        workflow=dag_id,
        run_id=run_id,
        environment=_alerts.environment(),
        release=_release(),
        url=run_url(dag_id, run_id),
    )
