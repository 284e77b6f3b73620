# SPDX-License-Identifier: Apache-2.0
"""What Airflow loads of rax by itself, by the entry point ``airflow.plugins``."""

import sys
from typing import Any, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from rax.airflow import _failed_runs
from rax.airflow._caller import SCHEDULER, is_called_by
from rax.airflow._outcomes import NOTE
from rax.airflow._reasons import is_own_failure, note, why_failed


class ReasonsPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow is not here when types are checked
    """Has Airflow tell of tasks and runs that failed and could not say so themselves."""

    name = "rax_reasons"
    listeners: ClassVar[list[Any]] = [sys.modules[__name__]]


@hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001 - Airflow's names
    """Note why a task failed: called by the scheduler and the API server, and in each task."""
    # In a task's own process it is no row of the database, and the task notes its reason itself.
    if not hasattr(task_instance, "_sa_instance_state"):
        return
    from airflow import settings
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session, why = object_session(task_instance), why_failed(task_instance, str(error or ""))
    if session is None and is_called_by(SCHEDULER):
        # Where the task has a callback, the scheduler closes its own session as it asks for that,
        # and goes on with it: what was loaded is no longer in it.
        session = settings.Session()
    if session is None or not why:
        return
    names = ("dag_id", "task_id", "run_id", "map_index")
    place = {"key": NOTE} | {name: getattr(task_instance, name) for name in names}
    # A savepoint, since nothing that fails here may undo what the scheduler does.
    with session.begin_nested():
        own = session.scalar(select(XComModel.value).filter_by(**place))
        # It may have said why, and been lost with its worker before Airflow knew that it ended.
        if not is_own_failure(own, task_instance.try_number):
            value = note(task_instance, why)
            XComModel.set(**place, value=value, serialize=False, session=session)


@hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Tell of a run that failed: called by the scheduler, by the API server, and in a test."""
    # A person who marks a run as failed knows of it.
    if is_called_by(SCHEDULER):
        _failed_runs.run_failed(dag_run, msg)
