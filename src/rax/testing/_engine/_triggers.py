# SPDX-License-Identifier: Apache-2.0
"""DAGs that a workflow triggers: a case has none but its own, and is told how their runs end."""

import logging
from collections.abc import Mapping
from typing import Any

from rax.errors import RaxError

_log = logging.getLogger("airflow.task")


class NotGivenError(RaxError):
    """A task triggers a DAG of which the case does not say how its run ends."""


class TriggeredRunFailedError(RaxError):
    """The run that a task has triggered, and waits for, fails in this case."""


class Triggers:
    """Stands for the runs of other DAGs: they begin as they should, and nothing is done in them.

    :param ends: how a run of each ends: success or failed
    """

    def __init__(self, ends: Mapping[str, str]) -> None:
        self._ends = ends

    def install(self) -> None:
        """Be asked by Airflow for each task from now on."""
        from airflow.sdk.execution_time import task_runner

        execute = task_runner._execute_task

        def execute_and_answer(context: Any, ti: Any, log: Any) -> Any:
            return self._executed(execute, context, ti, log)

        task_runner._execute_task = execute_and_answer

    def _executed(self, execute: Any, context: Any, ti: Any, log: Any) -> Any:
        from airflow.sdk.exceptions import DagRunTriggerException

        try:
            return execute(context=context, ti=ti, log=log)
        except DagRunTriggerException as error:
            triggered: Any = error
        dag_id = triggered.trigger_dag_id
        if dag_id not in self._ends:
            raise NotGivenError(
                f"it triggers the DAG {dag_id}, which is not in this case: say how that ends,"
                f" given: {{triggers: {{{dag_id}: success}}}}"
            )
        end = self._ends[dag_id]
        _log.info("rax flow runs nothing of the DAG %s: its run is taken to end in %s", dag_id, end)
        ti.xcom_push(key="trigger_run_id", value=triggered.dag_run_id)
        if triggered.wait_for_completion and end in map(str, triggered.failed_states):
            raise TriggeredRunFailedError(f"the run of the DAG {dag_id} failed")
        return None
