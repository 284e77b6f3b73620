# SPDX-License-Identifier: Apache-2.0
"""The decorators of a workflow, and how they are wired. Airflow is imported when they are used."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rax.errors import WorkflowError

# The checks and summaries that the function of a workflow has declared so far.
_declared: ContextVar[list[Any] | None] = ContextVar("declared", default=None)


def workflow(dag_id: Any = None, /, **options: Any) -> Any:
    """Make a DAG of a function: Airflow's ``@dag``, wired as check → task → summary.

    Takes all that ``@dag`` takes, the id as its first argument too. Without one it is the
    function's name. Calling the function makes the DAG and returns it. A check or summary that the
    function declares and does not call is called for it.

    :raises WorkflowError: when it is called: the tasks cannot be wired, see ``wire``
    """

    def decorate(function: Callable[..., Any]) -> Any:
        from airflow.sdk import dag
        from airflow.sdk.definitions._internal.contextmanager import DagContext

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> Any:
            token = _declared.set([])
            try:
                result = function(*args, **kwargs)
                _call_declared(DagContext.get_current())
            finally:
                _declared.reset(token)
            wire(DagContext.get_current())
            return result

        return dag(dag_id or function.__name__, **options)(build)

    if callable(dag_id):
        function, dag_id = dag_id, None
        return decorate(function)
    return decorate


def check(function: Callable[..., object] | None = None, /, **options: Any) -> Any:
    """Make a check of a function, as Airflow's ``@task`` makes a task.

    What it raises alerts at once and aborts the run: it is not retried. It passes when it returns,
    and skips the work when it raises ``AirflowSkipException``. Takes what ``@task`` takes except
    ``retries``; ``execution_timeout`` is ten minutes by default.

    :raises WorkflowError: when it is called: it is to be retried
    """
    if function is None:
        return functools.partial(check, **options)
    from airflow.sdk.bases.decorator import task_decorator_factory

    from rax.airflow.workflow import CheckOperator

    return _declare(
        task_decorator_factory(
            function, decorated_operator_class=CheckOperator, **{"retries": 0} | options
        )
    )


def summary(function: Callable[..., object] | None = None, /, **options: Any) -> Any:
    """Make the summary of a function, as Airflow's ``@task`` makes a task.

    It runs whatever happened to the tasks upstream of it, logs what they did, alerts or resolves,
    and fails when any of them has failed, or when the function raises. A parameter ``summary`` of
    the function gets a ``Summary``; what it returns is logged and is the task's return value.
    Takes what ``@task`` takes except ``retries`` and ``trigger_rule``.

    To Airflow it is a teardown whose failure fails the run, since all else can be skipped by a
    ``ShortCircuitOperator``.

    :raises WorkflowError: when it is called: it is to be retried
    """
    if function is None:
        return functools.partial(summary, **options)
    from airflow.sdk import teardown
    from airflow.sdk.bases.decorator import task_decorator_factory

    from rax.airflow.workflow import SummaryOperator

    # A summary waits for none of another run: after one that failed, it would wait for ever.
    fixed = {"depends_on_past": False, "wait_for_downstream": False}
    decorated = task_decorator_factory(
        function, decorated_operator_class=SummaryOperator, **{"retries": 0} | options | fixed
    )
    return _declare(teardown(on_failure_fail_dagrun=True)(decorated))


def wire(dag: Any) -> None:
    """Wire the tasks of a DAG as check → task → summary.

    The checks go upstream of every task that depends on nothing else; a check that depends on a
    task stays where it is. Everything that nothing depends on goes upstream of the summary, which
    is made if there is none. What is wired stays wired: call it again after adding tasks.

    :raises WorkflowError: there are several summaries, or a mapped one, a mapped check is to be
        retried, something depends on the summary, or nothing depends on a setup
    """
    from rax.airflow._outcomes import is_check, is_summary
    from rax.airflow.workflow import observe

    summaries = [task for task in dag.tasks if is_summary(task)]
    if len(summaries) > 1:
        names = ", ".join(task.task_id for task in summaries)
        raise WorkflowError(f"{dag.dag_id} has the summaries {names}: a workflow has one")
    if not summaries:
        with dag:
            summaries = [summary(standard_summary, task_id="summary")().operator]
    (last,) = summaries
    if last.get_closest_mapped_task_group() or last.is_mapped:
        raise WorkflowError(
            f"{last.task_id} of {dag.dag_id} cannot be mapped: a run has one summary"
        )
    if last.downstream_task_ids:
        raise WorkflowError(
            f"{', '.join(sorted(last.downstream_task_ids))} of {dag.dag_id} cannot depend on "
            f"{last.task_id}: the summary comes last"
        )
    others = [task for task in dag.tasks if task is not last]
    checks = [task for task in others if is_check(task) and all(map(is_check, _above(task)))]
    for task in others:
        if task not in checks and all(above in checks for above in _above(task)):
            for first in checks:
                if first.task_id not in task.upstream_task_ids:
                    task.set_upstream(first)
    for task in others:
        if not task.downstream_task_ids:
            if task.is_setup:
                raise WorkflowError(f"nothing depends on the setup {task.task_id} of {dag.dag_id}")
            last.set_upstream(task)
        observe(task)


def standard_summary() -> None:
    """Report what the tasks have done."""


def _declare(decorated: Any) -> Any:
    declared = _declared.get()
    if declared is not None:
        declared.append(decorated)
    return decorated


def _call_declared(dag: Any) -> None:
    # Looked up before any is called here, since several may be of one function.
    called = [getattr(task, "python_callable", None) for task in dag.tasks]
    for decorated in _declared.get() or ():
        if decorated.function not in called:
            decorated()


def _above(task: Any) -> set[Any]:
    return set(task.get_flat_relatives(upstream=True))
