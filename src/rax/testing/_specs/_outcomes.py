# SPDX-License-Identifier: Apache-2.0
"""How an expectation of a run lies over another, which it differs from in what it says."""

from collections.abc import Collection
from dataclasses import replace

from rax.testing._model import UNSET, Expectation, TaskExpectation

# What says how a run ends; one of these in what differs takes the place of all.
_ENDS = ("state", "check", "failed")


def laid_over(once: Expectation, other: Expectation, said: Collection[str]) -> Expectation:
    """Return what is expected of a run.

    :param once: what is expected of each
    :param other: what is expected of this one besides
    :param said: the keys that the latter has
    """
    ends = other if any(key in said for key in _ENDS) else once
    tasks = {task.key: task for task in once.tasks}
    for task in other.tasks:
        tasks[task.key] = _task_over(tasks.get(task.key), task)
    return replace(
        once,
        place=other.place,
        state=ends.state,
        check=ends.check,
        failed=ends.failed,
        skipped=once.skipped if other.skipped is None else other.skipped,
        alerts=once.alerts if other.alerts is None else other.alerts,
        tasks=tuple(tasks.values()),
        tables={**once.tables, **other.tables},
        files={**once.files, **other.files},
    )


def _task_over(once: TaskExpectation | None, other: TaskExpectation) -> TaskExpectation:
    if once is None or other.unverified:
        return other
    return replace(
        once,
        place=other.place,
        state=other.state or once.state,
        returns=once.returns if other.returns is UNSET else other.returns,
        tables={**once.tables, **other.tables},
        files={**once.files, **other.files},
        unverified="",
    )
