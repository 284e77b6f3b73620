# SPDX-License-Identifier: Apache-2.0
"""What Airflow loads of rax by itself, by the entry point ``airflow.plugins``."""

import sys
from typing import Any, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from rax.airflow._outcomes import NOTE
from rax.airflow._reasons import note, why_failed


class ReasonsPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow is not here when types are checked
    """Has scheduler and API server note why tasks failed that could not say so themselves."""

    name = "rax_reasons"
    listeners: ClassVar[list[Any]] = [sys.modules[__name__]]


@hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001 - Airflow's names
    """Note why a task failed: called by the scheduler and the API server, and in each task."""
    # In a task's own process it is no row of the database, and the task notes its reason itself.
    if not hasattr(task_instance, "_sa_instance_state"):
        return
    from airflow.models.xcom import XComModel
    from sqlalchemy.orm import object_session

    session, why = object_session(task_instance), why_failed(task_instance, str(error or ""))
    if session is None or not why:
        return
    # A savepoint, since nothing that fails here may undo what the scheduler does.
    with session.begin_nested():
        XComModel.set(
            key=NOTE,
            value=note(task_instance, why),
            dag_id=task_instance.dag_id,
            task_id=task_instance.task_id,
            run_id=task_instance.run_id,
            map_index=task_instance.map_index,
            serialize=False,
            session=session,
        )
