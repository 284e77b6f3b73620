# SPDX-License-Identifier: Apache-2.0
"""What the tasks of a run on a cluster gave, in the form of those that ran here."""

import graphlib
from collections.abc import Sequence

from rax.testing._model import ALL, UNSET, Expectation, TaskKey
from rax.testing._outputs import TaskOutput
from rax.testing._staging._answers import Instance, Task
from rax.testing._staging._cluster import Workflow

# More are not told of one run.
_MAX_REASONS = 10
_SUCCESS, _FAILED, _REMOVED = "success", "failed", "removed"


def outputs(workflow: Workflow, run_id: str, expected: Expectation) -> tuple[TaskOutput, ...]:
    """Return what the tasks of a run gave, in the order of the workflow.

    What a task returned is asked of those alone of which something is expected.
    """
    tasks = {task.id: task for task in workflow.tasks()}
    order = {name: position for position, name in enumerate(_order([*tasks.values()]))}
    instances = [one for one in workflow.instances(run_id) if one.state != _REMOVED]
    # The newest version of a DAG need not have all tasks of a run.
    instances.sort(key=lambda one: (order.get(one.key.task_id, len(order)), one.key.map_index or 0))
    failed = [one.key for one in instances if one.state == _FAILED][:_MAX_REASONS]
    return tuple(
        TaskOutput(
            one.key,
            one.state,
            part=tasks[one.key.task_id].part if one.key.task_id in tasks else "",
            upstream=frozenset(
                task.id for task in tasks.values() if one.key.task_id in task.downstream
            ),
            returned=workflow.returned(run_id, one.key) if _is_asked(one, expected) else UNSET,
            reason=workflow.reason(run_id, one.key) if one.key in failed else "",
            tries=one.tries,
            seconds=one.seconds,
        )
        for one in instances
    )


def _is_asked(one: Instance, expected: Expectation) -> bool:
    return one.state == _SUCCESS and any(
        said.returns is not UNSET and _is_meant(said.key, one.key) for said in expected.tasks
    )


def _is_meant(said: TaskKey, key: TaskKey) -> bool:
    return said == key or (said.task_id == key.task_id and said.map_index == ALL)


def _order(tasks: Sequence[Task]) -> list[str]:
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for task in tasks:
        sorter.add(task.id)
        for name in sorted(task.downstream):
            sorter.add(name, task.id)
    try:
        return [*sorter.static_order()]
    except graphlib.CycleError:
        return [task.id for task in tasks]
