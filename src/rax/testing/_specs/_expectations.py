# SPDX-License-Identifier: Apache-2.0
"""What is expected of the runs of a case."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rax.config._files import near
from rax.testing._model import (
    UNSET,
    AlertExpectation,
    Content,
    Expectation,
    Query,
    RunKind,
    TaskExpectation,
)
from rax.testing._specs import _files, _form
from rax.testing._specs._document import Value
from rax.testing._specs._tasks import task_key

_ACTIONS = ("trigger", "acknowledge", "resolve")
# What says how a run ends; one of these in what differs takes the place of all.
_ENDS = ("state", "check", "failed")


@dataclass(frozen=True)
class Reader:
    """Reads expectations of a case, given the databases that it may ask."""

    top: Path
    databases: Collection[str]

    def runs(self, value: Value, named: Value | None) -> Mapping[RunKind, Expectation]:
        """Return what is expected of each run, in their order."""
        once = self._expectation(value)
        kinds = set(RunKind) if once.state == "success" else {RunKind.ONCE}
        if named is not None:
            kinds = {RunKind(name) for name in named.content}
            if RunKind.AGAIN in kinds and RunKind.ONCE not in kinds:
                named.refuse("runs has again, which is on what once has left, and no once")
        expected = dict.fromkeys((kind for kind in RunKind if kind in kinds), once)
        for kind in (RunKind.AGAIN, RunKind.LOST):
            if (other := value.get(kind)) is None:
                continue
            if kind in expected:
                expected[kind] = _over(once, self._expectation(other), other.content)
            else:
                other.refuse(f"{kind} is expected of, and is none of the runs: add it to runs")
        return expected

    def _expectation(self, value: Value) -> Expectation:
        check, failed = value.get("check"), value.get("failed")
        state = "failed" if check or (failed and failed.content) else "success"
        if said := value.get("state"):
            state = said.content
        if check and state == "success":
            check.refuse("a check fails and the run succeeds: leave out state, or check")
        return Expectation(
            place=value.place,
            state=state,
            check=check.content if check else None,
            failed=tuple(failed.content) if failed else None,
            skipped=tuple(skipped.content) if (skipped := value.get("skipped")) else None,
            alerts=_alerts(value),
            tasks=tuple(self._task(key, inner) for key, inner in value.items("tasks")),
            tables=self._tables(value, "expectation"),
            files=self._contents(value),
        )

    def _task(self, key: str, value: Value) -> TaskExpectation:
        reason = value.get("unverified")
        if reason and len(value.content) > 1:
            reason.refuse(f"{key} is unverified, and has expectations: leave out one of both")
        state, returns = value.get("state"), value.get("returns")
        return TaskExpectation(
            place=value.place,
            key=task_key(key),
            state=state.content if state else None,
            returns=returns.content if returns else UNSET,
            tables=self._tables(value, "task"),
            files=self._contents(value),
            unverified=reason.content.strip() if reason else "",
        )

    def _tables(self, value: Value, definition: str) -> dict[Query, Content]:
        found: dict[Query, Content] = {}
        words = _form.words(definition)
        for database, queries in value.items():
            if database in words:
                continue
            if database not in self.databases:
                hint = near(database, self.databases)
                queries.refuse(f"{database} is no database that the case is given{hint}")
                continue
            for sql, content in queries.items():
                query = Query(database, sql.strip().rstrip(";").rstrip())
                if query in found:
                    content.refuse(f"the query is there twice, first in {found[query].place}")
                found[query] = self._content(content)
        return found

    def _contents(self, value: Value) -> dict[str, Content]:
        found = {}
        for path, content in value.items("files"):
            _files.check_name(content, path)
            if content.content == _files.ABSENT:
                found[path] = Content(content.place, absent=True)
            else:
                found[path] = self._content(content)
        return found

    def _content(self, value: Value) -> Content:
        if isinstance(value.content, dict):
            rows = value.content.get("rows")
            rows = None if rows is None else int(rows)
            return Content(value.place, rows=rows, text=value.content.get("text"))
        return Content(value.place, golden=_files.golden(value, self.top))


def _alerts(value: Value) -> tuple[AlertExpectation, ...] | None:
    if value.get("alerts") is None:
        return None
    return tuple(_alert(inner) for _index, inner in value.items("alerts"))


def _alert(value: Value) -> AlertExpectation:
    if isinstance(value.content, str):
        action, _colon, text = value.content.partition(":")
        return AlertExpectation(value.place, action, text.strip())
    actions = [key for key in value.content if key in _ACTIONS]
    if len(actions) != 1:
        value.refuse(f"an alert has one of {', '.join(_ACTIONS)}")
        return AlertExpectation(value.place, "")
    fields = {key: inner for key, inner in value.content.items() if key not in _ACTIONS}
    return AlertExpectation(value.place, actions[0], value.content[actions[0]] or "", fields)


def _over(once: Expectation, other: Expectation, said: Mapping[str, Any]) -> Expectation:
    """Return what is expected of a run that differs in what is said of it."""
    ends = other if any(key in said for key in _ENDS) else once
    tasks = {task.key: task for task in once.tasks}
    for task in other.tasks:
        before = tasks.get(task.key)
        tasks[task.key] = _task_over(before, task) if before else task
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


def _task_over(once: TaskExpectation, other: TaskExpectation) -> TaskExpectation:
    if other.unverified:
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
