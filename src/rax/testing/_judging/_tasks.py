# SPDX-License-Identifier: Apache-2.0
"""What a task did and left, beside what was expected of it."""

from collections.abc import Iterator
from typing import NamedTuple

from rax._printable import one_line
from rax.testing._judging import _contents, _states, _values
from rax.testing._judging._contents import Found
from rax.testing._judging._difference import Kind
from rax.testing._judging._texts import bounded
from rax.testing._model import ALL, UNSET, Expectation, Place, Query, RunKind, TaskExpectation
from rax.testing._outputs import Captured, RunOutput, TaskOutput

_MAX_SQL_CHARACTERS = 80
NOTHING = Captured(error="nothing was read here: the task did not end as others do")


class Told(NamedTuple):
    """A difference before its secrets are masked, its text in lines."""

    place: Place
    subject: str
    lines: tuple[str, ...]
    kind: Kind


class Runs(NamedTuple):
    """A run with what is expected of it; and the first one, where this is a further one."""

    expected: Expectation
    output: RunOutput
    first: "Runs | None" = None


def of_tasks(runs: Runs) -> Iterator[Told]:
    """Compare each task that the spec names."""
    for expected in runs.expected.tasks:
        found, problem = instances(expected, runs.output)
        if problem:
            yield Told(expected.place, str(expected.key), (problem,), Kind.UNKNOWN_TASK)
        for task in found:
            yield from _of_task(expected, task, runs)


def of_end(runs: Runs) -> Iterator[Told]:
    """Compare what is there at the end of the run."""
    yield from _of_contents(runs.expected, runs.output, _first_end(runs), runs.output.kind, "")


def instances(expected: TaskExpectation, run: RunOutput) -> tuple[list[TaskOutput], str]:
    """Return the tasks that are meant, or why there is none."""
    key = expected.key
    of_id = [task for task in run.tasks if task.key.task_id == key.task_id]
    if not of_id:
        return [], _states.unknown(key.task_id, run)
    found = [task for task in of_id if task.key == key or key.map_index == ALL]
    if found or says_nothing(expected):
        return found, ""
    if key.map_index is None:
        return [], f"is mapped: write {key.task_id}[*] for each, or {of_id[0].key}"
    if of_id[0].key.map_index is None:
        if of_id[0].state in _states.IDLE:
            return [], f"has no instance: {of_id[0].state}"
        return [], f"is not mapped: write {key.task_id}"
    indexes = sorted(task.key.map_index or 0 for task in of_id)
    return [], f"has no such instance: they are {indexes[0]} to {indexes[-1]}"


def says_nothing(expected: TaskExpectation) -> bool:
    """Return whether nothing is compared of a task."""
    return (
        expected.state is None
        and expected.returns is UNSET
        and not expected.tables
        and not expected.files
    )


def _of_task(expected: TaskExpectation, task: TaskOutput, runs: Runs) -> Iterator[Told]:
    subject = str(task.key)
    if expected.state is not None and task.state != expected.state:
        reason = [_states.ended(task)] if task.reason else []
        text = (f"{expected.state} → {task.state}", *reason)
        yield Told(expected.place, subject, text, Kind.STATE)
    if task.state in _states.IDLE:
        if expected.state is None and not says_nothing(expected):
            yield Told(expected.place, subject, (f"did not run: {task.state}",), Kind.STATE)
        return
    if expected.returns is not UNSET:
        found = None if task.returned is UNSET else task.returned
        if lines := _values.differing(expected.returns, found):
            if task.returned is UNSET and task.state != _states.SUCCESS:
                lines = [f"nothing: it is {task.state}"]
            told = bounded([f"returns {line}" for line in lines])
            yield Told(expected.place, subject, tuple(told), Kind.RETURNS)
    yield from _of_contents(expected, task, _first_task(expected, task, runs),
                            runs.output.kind, f"{subject}: ")  # fmt: skip


class _First(NamedTuple):
    expected: Expectation | TaskExpectation
    output: RunOutput | TaskOutput


def _of_contents(
    expected: Expectation | TaskExpectation,
    output: RunOutput | TaskOutput,
    first: _First | None,
    run: RunKind,
    subject: str,
) -> Iterator[Told]:
    for query, content in expected.tables.items():
        before = None
        if first and _golden(first.expected.tables.get(query)) == content.golden:
            before = first.output.tables.get(query)
        found = Found(run, output.tables.get(query, NOTHING), before)
        if lines := _contents.of_table(content, found):
            yield Told(content.place, subject + question(query), tuple(lines), Kind.TABLE)
    for name, content in expected.files.items():
        before = None
        if first and _golden(first.expected.files.get(name)) == content.golden:
            before = first.output.files.get(name)
        found = Found(run, output.files.get(name, NOTHING), before)
        if lines := _contents.of_file(content, found, name):
            yield Told(content.place, subject + name, tuple(lines), Kind.FILE)


def _golden(content: object) -> object:
    return getattr(content, "golden", content)


def _first_end(runs: Runs) -> _First | None:
    return _First(runs.first.expected, runs.first.output) if runs.first else None


def _first_task(expected: TaskExpectation, task: TaskOutput, runs: Runs) -> _First | None:
    if runs.first is None:
        return None
    wanted = next((one for one in runs.first.expected.tasks if one.key == expected.key), None)
    output = next((one for one in runs.first.output.tasks if one.key == task.key), None)
    return _First(wanted, output) if wanted and output else None


def question(query: Query) -> str:
    """Return a query in a line."""
    return f"{query.database}: {one_line(query.sql, _MAX_SQL_CHARACTERS)}"
