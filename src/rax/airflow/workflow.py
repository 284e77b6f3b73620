# SPDX-License-Identifier: Apache-2.0
"""The operators behind ``rax.workflow``, and the callbacks that they give to tasks and DAGs."""

import dataclasses
import datetime
import inspect
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator
from airflow.sdk.exceptions import AirflowSkipException

from rax.airflow import _callbacks
from rax.airflow._outcomes import CHECK, SUMMARY, collect, is_check, is_summary
from rax.errors import RunFailedError, WorkflowError
from rax.workflow._summary import Summary
from rax.workflow._text import details, reason

log = logging.getLogger("rax.workflow")

# Without a limit, a check that hangs would hold up the run for ever.
CHECK_TIMEOUT = datetime.timedelta(minutes=10)


class _FunctionOperator(DecoratedOperator, PythonOperator):  # type: ignore[misc]  # Airflow is not here when types are checked
    """A function as a task, as Airflow's own ``@task`` makes it by an operator that is private."""

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
    workflow_part = CHECK

    def __init__(self, **options: Any) -> None:
        """Give the task ten minutes, unless there is an execution_timeout."""
        super().__init__(**options)
        self.execution_timeout: datetime.timedelta = self.execution_timeout or CHECK_TIMEOUT
        observe(self)


class SummaryOperator(_FunctionOperator):
    """The operator of ``@summary``: it collects, reports and fails when anything has failed."""

    custom_operator_name = "@summary"
    workflow_part = SUMMARY

    def __init__(
        self,
        *,
        python_callable: Callable[..., object],
        op_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Leave a place for the function's parameter ``summary``, which execute() fills."""
        self._takes_summary = "summary" in inspect.signature(python_callable).parameters
        placeholder = {"summary": None} if self._takes_summary else {}
        super().__init__(
            python_callable=python_callable,
            op_kwargs={**(op_kwargs or {}), **placeholder},
            **options,
        )
        self._found: Summary | None = None
        # Callbacks run after the task's state was reported: no alert can change it, or be cut short
        # by the task's time-out.
        self.on_success_callback: Any = [*self.on_success_callback, _callbacks.summary_succeeded]
        self.on_failure_callback: Any = [*self.on_failure_callback, _callbacks.summary_failed]
        # In a DAG that @workflow has not made, nobody else observes it and its tasks.
        if self.has_dag():
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
            # The state of this task is that of the run, and never "skipped".
            log.info("The summary's function has nothing to say")
        except BaseException as error:
            problem = error
        self._found = found = _with_own(found, self.task_id, returned, problem)
        log.log(logging.ERROR if found.state == "failed" else logging.INFO, "%s", found)
        log.info("%s", found.to_json())
        if found.state == "failed":
            raise RunFailedError(found.headline()) from problem
        return returned


def observe(task: Any) -> None:
    """Have an operator, mapped or not, note what the summary needs to know of it.

    :raises WorkflowError: it is a check that is to be retried
    """
    if is_summary(task):
        return
    if is_check(task):
        # A mapped check has no CheckOperator yet that would refuse them.
        _refuse_retries(task)
    hooks = task.partial_kwargs if task.is_mapped else vars(task)
    own_hook = "post_execute" if task.is_mapped else "_post_execute_hook"
    # A hook of the author stays alone: a chain of two could not be serialised with a mapped task.
    if hooks.get(own_hook) is None:
        hooks[own_hook] = _callbacks.note_success
    callback = _callbacks.check_failed if is_check(task) else _callbacks.note_failure
    callbacks = task.on_failure_callback or []
    callbacks = list(callbacks) if isinstance(callbacks, Collection) else [callbacks]
    if callback not in callbacks:
        task.on_failure_callback = [*callbacks, callback]


def _refuse_retries(task: Any) -> None:
    if task.retries:
        kind = getattr(task, "operator_class", type(task)).custom_operator_name
        raise WorkflowError(f"{kind} {task.task_id} is not retried: leave out 'retries'")


def _with_own(
    found: Summary, task_id: str, returned: object, problem: BaseException | None
) -> Summary:
    """Return the summary with what its function returned or raised."""
    return dataclasses.replace(
        found,
        details=details(returned),
        problem="" if problem is None else f"{task_id}: {reason(problem)}",
    )
