# SPDX-License-Identifier: Apache-2.0
"""What each task of a run has given, noted in the moment when it ends.

Airflow tells its listeners of that in this process, and swallows what they raise: so nothing is
judged here, and what goes wrong is kept.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from rax.airflow._outcomes import CHECK, SUMMARY, is_check, is_summary
from rax.errors import RaxError
from rax.testing._engine._events import Begun, Ended, Writer
from rax.testing._engine._values import plain
from rax.testing._model import ALL, UNSET, Change, Expectation, Query, RunKind, TaskKey
from rax.testing._outputs import Captured, TaskOutput
from rax.testing._services import Services

# Of a task that has not ended for good.
_NOT_ENDED = ("up_for_retry", "up_for_reschedule", "deferred", "running")


def matches(said: TaskKey, key: TaskKey) -> bool:
    """Return whether what is said of a task is said of this one, or of this instance of it.

    >>> matches(TaskKey("load", ALL), TaskKey("load", 2))
    True
    >>> matches(TaskKey("load"), TaskKey("load", 2))
    False
    """
    return said.task_id == key.task_id and said.map_index in (
        (key.map_index,) if key.map_index is None else (key.map_index, ALL)
    )


class Tasks:
    """The tasks of one run; it is a listener of Airflow's.

    :param changes: what changes after a task has ended
    """

    def __init__(
        self,
        kind: RunKind,
        expected: Expectation,
        changes: Iterable[Change],
        services: Services,
        writer: Writer,
    ) -> None:
        self._kind = kind
        self._expected = expected
        self._changes = tuple(changes)
        self._changed: set[int] = set()
        self._services = services
        self._writer = writer
        self._outputs: dict[TaskKey, TaskOutput] = {}
        self.running = ""
        """The task that runs now, or nothing."""
        self.trouble = ""
        """Why the run does not count."""

    def begun(self, ti: Any) -> None:
        """Note that a task begins."""
        key = key_of(ti)
        self.running = str(key)
        self._writer.write(Begun(self._kind, key))

    def ended(self, ti: Any, error: BaseException | str | None = None) -> None:
        """Note what a task has given, if it has ended for good."""
        key, state = key_of(ti), str(getattr(ti.state, "value", ti.state))
        self.running = ""
        if state not in _NOT_ENDED:
            self._outputs[key] = dataclasses.replace(
                self._captured(key, state),
                returned=_returned(ti) if state == "success" else UNSET,
                reason=_reason(error) if state == "failed" else "",
                tries=ti.try_number,
                seconds=_seconds(ti.start_date, ti.end_date),
            )
            self._change(key)
        self._writer.write(Ended(self._kind, key))

    def outputs(self, dag: Any, instances: Iterable[Any]) -> tuple[TaskOutput, ...]:
        """Return what the instances of a run of a DAG have given, in their order.

        Some of them no listener has been told of: those that were not run, and those that failed
        in Airflow's own hands.
        """
        found = []
        for ti in instances:
            key, state = key_of(ti), str(getattr(ti.state, "value", ti.state))
            output = self._outputs.get(key) or self._captured(key, state)
            task = dag.get_task(key.task_id)
            part = CHECK if is_check(task) else SUMMARY if is_summary(task) else ""
            upstream = frozenset(task.upstream_task_ids)
            found.append(
                dataclasses.replace(
                    output, state=state, part=part, upstream=upstream, tries=ti.try_number
                )
            )
        return tuple(found)

    def unmade(self) -> tuple[Change, ...]:
        """Return the changes whose task has not ended."""
        return tuple(change for change in self._changes if id(change) not in self._changed)

    def tables(self, queries: Iterable[Query]) -> dict[Query, Captured]:
        """Return what queries give now."""
        return {query: _kept(self._services.table, query) for query in queries}

    def files(self, paths: Iterable[str]) -> dict[str, Captured]:
        """Return what files hold now."""
        return {path: _kept(self._services.file, path) for path in paths}

    def _captured(self, key: TaskKey, state: str) -> TaskOutput:
        said = [one for one in self._expected.tasks if matches(one.key, key)]
        return TaskOutput(
            key,
            state,
            tables=self.tables(query for one in said for query in one.tables),
            files=self.files(path for one in said for path in one.files),
        )

    def _change(self, key: TaskKey) -> None:
        for change in self._changes:
            if not matches(change.after, key):
                continue
            self._changed.add(id(change))
            try:
                self._services.change(change)
            except RaxError as error:
                self.trouble = self.trouble or str(error)


def key_of(ti: Any) -> TaskKey:
    """Return the key of a task instance."""
    index = ti.map_index
    return TaskKey(ti.task_id, None if index is None or index < 0 else index)


def _returned(ti: Any) -> Any:
    """Return what a task returned, as other tasks get it."""
    from airflow.models.xcom import XComModel
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.utils.session import create_session
    from sqlalchemy import select

    names = ("dag_id", "task_id", "run_id", "map_index")
    place = {name: getattr(ti, name) for name in names} | {"key": BaseXCom.XCOM_RETURN_KEY}
    with create_session() as session:
        # Airflow logs an error where it is asked for what is not there, as None is not.
        if session.scalar(select(XComModel.task_id).filter_by(**place)) is None:
            return None
    return plain(ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index))


def _reason(error: BaseException | str | None) -> str:
    from rax.workflow._text import reason

    return reason(error)


def _seconds(begun: Any, ended: Any) -> float | None:
    return None if begun is None or ended is None else float((ended - begun).total_seconds())


def _kept(capture: Any, what: Any) -> Captured:
    try:
        found: Captured = capture(what)
    except Exception as error:  # Airflow would swallow it.
        return Captured(error=f"{type(error).__name__}: {error}")
    return found
