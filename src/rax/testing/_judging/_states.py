# SPDX-License-Identifier: Apache-2.0
"""How a run and its tasks ended, beside what was expected."""

from collections.abc import Iterable, Iterator, Sequence

from rax.config._files import near
from rax.testing._judging._texts import bounded, cut, names
from rax.testing._model import Expectation
from rax.testing._outputs import RunOutput, TaskOutput

FAILED, SUCCESS = "failed", "success"
# What a task is that did not begin.
IDLE = ("upstream_failed", "skipped", "removed")
_MAX_LOG_LINES = 12
_MAX_REASON_CHARACTERS = 300


def of_run(expected: Expectation, run: RunOutput) -> Iterator[list[str]]:
    """Return a text for each thing that is not as expected of a run's states, in lines."""
    if run.state != expected.state:
        yield _unexpected_end(expected, run)
    if expected.check is not None:
        yield from _of_check(expected.check, run)
    if expected.failed is not None or expected.check is not None:
        checks = () if expected.check is None else (expected.check,)
        yield from _of_failed((*(expected.failed or ()), *checks), run)
    if expected.skipped is not None:
        skipped = [task for task in run.tasks if task.state == "skipped"]
        yield from _of_set("skipped", expected.skipped, skipped, run)


def ended(task: TaskOutput) -> str:
    """Return how a task ended, and why, in a line.

    >>> from rax.testing._model import TaskKey
    >>> ended(TaskOutput(TaskKey("load"), "failed", reason="OSError: no file"))
    'load: failed: OSError: no file'
    """
    return ": ".join(
        filter(None, (str(task.key), task.state, task.reason[:_MAX_REASON_CHARACTERS]))
    )


def unknown(name: str, run: RunOutput) -> str:
    """Say that the run has no task of a name, and which one may be meant."""
    hint = near(
        name, {task.key.task_id for task in run.tasks} | {str(one.key) for one in run.tasks}
    )
    return f"the workflow has no task {name}{hint}"


def failures(run: RunOutput) -> list[TaskOutput]:
    """Return the tasks that failed, those before the summary, or it alone."""
    failed = [task for task in run.tasks if task.state == FAILED]
    # The summary of a run with a failed task fails with it, and says nothing more.
    return [task for task in failed if task.part != "summary"] or failed


def _unexpected_end(expected: Expectation, run: RunOutput) -> list[str]:
    told = [f"the run: {expected.state} → {run.state}"]
    if run.state == SUCCESS:
        return told
    told += bounded([ended(task) for task in failures(run)], 5)
    log = [line.rstrip() for line in run.log.splitlines() if line.strip()]
    if log:
        told += ["its log ends in:", *(f"| {line}" for line in log[-_MAX_LOG_LINES:])]
    return told


def _of_check(name: str, run: RunOutput) -> Iterator[list[str]]:
    found = [task for task in run.tasks if _is_named(task, name)]
    if not found:
        yield [unknown(name, run)]
        return
    if not any(task.state == FAILED for task in found):
        yield [f"the check {name}: failed → {names(sorted({task.state for task in found}))}"]
        return
    below = _below({task.key.task_id for task in found}, run)
    for task in run.tasks:
        if task.part == "summary":
            if task.state in IDLE or not task.state:
                yield [f"the summary {task.key} did not run: {task.state}"]
        elif task.key.task_id in below and task.state not in IDLE:
            yield [f"{ended(task)}, and must not run where {name} has failed"]


def _of_failed(expected: Sequence[str], run: RunOutput) -> Iterator[list[str]]:
    # The summary may be named, and is also meant where it is not.
    found = [
        task
        for task in run.tasks
        if task in failures(run) or (task.state == FAILED and _any_names(expected, task))
    ]
    yield from _of_set(FAILED, expected, found, run)


def _of_set(
    state: str, expected: Sequence[str], found: Sequence[TaskOutput], run: RunOutput
) -> Iterator[list[str]]:
    for name in expected:
        instances = [task for task in run.tasks if _is_named(task, name)]
        others = [task for task in instances if task.state != state]
        if not instances:
            yield [unknown(name, run)]
        elif len(others) == len(instances) or (others and name.endswith("[*]")):
            yield [f"{cut(name)}: {state} → {names(sorted({task.state for task in others}))}"]
    more = [task for task in found if not _any_names(expected, task)]
    if more:
        yield [f"not expected to be {state}: {names([str(task.key) for task in more])}",
               *(ended(task) for task in more[:5] if task.reason)]  # fmt: skip


def _below(task_ids: set[str], run: RunOutput) -> set[str]:
    """Return the ids of all tasks that depend on these, through others too."""
    found: set[str] = set()
    waiting: Iterable[str] = task_ids
    while waiting:
        waiting = {
            task.key.task_id for task in run.tasks if task.upstream & {*waiting}
        } - found - task_ids  # fmt: skip
        found |= {*waiting}
    return found


def _any_names(names: Sequence[str], task: TaskOutput) -> bool:
    return any(_is_named(task, name) for name in names)


def _is_named(task: TaskOutput, name: str) -> bool:
    return name in (str(task.key), task.key.task_id, f"{task.key.task_id}[*]")
