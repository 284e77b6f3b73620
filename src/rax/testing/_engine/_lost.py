# SPDX-License-Identifier: Apache-2.0
"""The run ``lost``: each task that may be retried does its work, and then its worker is lost.

So it has to find its own work done when it is tried again. What it returned is lost too, as on a
node that ends before it could report.
"""

from typing import Any


class ResultLostError(Exception):
    """What rax flow makes of the first try of each task in the run ``lost``."""


class Losses:
    """Loses the first results of tasks, while it is on."""

    def __init__(self) -> None:
        self.is_on = False

    def install(self) -> None:
        """Be asked by Airflow for each task from now on."""
        from airflow.sdk.execution_time import task_runner

        execute, evaluate = task_runner._execute_task, task_runner._evaluate_retry_policy

        def execute_and_lose(context: Any, ti: Any, log: Any) -> Any:
            return self._executed(execute, context, ti, log)

        def evaluate_others(ti: Any, exception: BaseException, *more: Any, **named: Any) -> Any:
            # A policy decides on errors of the task, not on the loss of its worker.
            if isinstance(exception, ResultLostError):
                return None
            return evaluate(ti, exception, *more, **named)

        task_runner._execute_task = execute_and_lose
        task_runner._evaluate_retry_policy = evaluate_others

    def _executed(self, execute: Any, context: Any, ti: Any, log: Any) -> Any:
        from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

        skipped: Exception | None = None
        result = None
        try:
            result = execute(context=context, ti=ti, log=log)
        except (AirflowSkipException, DownstreamTasksSkipped) as error:
            # Results too. What else is raised is none: a failure, or a wait in another process.
            skipped = error
        server = ti._ti_context_from_server
        if self.is_on and ti.try_number == 1 and server is not None and server.should_retry:
            raise ResultLostError("rax flow loses the first result of each task that is retried")
        if skipped is not None:
            raise skipped
        return result
