# SPDX-License-Identifier: Apache-2.0
"""What is expected of the runs of a case."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

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
from rax.testing._specs._outcomes import laid_over
from rax.testing._specs._tasks import task_key

_ACTIONS = ("trigger", "acknowledge", "resolve")


@dataclass(frozen=True)
class ExpectationReader:
    """Reads what is expected of a case, and notes what cannot be."""

    # The folder of specs, which no golden may be out of.
    top: Path
    # Those that the case may ask, and what of these does not answer.
    databases: Collection[str]
    down: Collection[str]

    def runs(self, value: Value, named: Value | None) -> Mapping[RunKind, Expectation]:
        """Return what is expected of each run, in their order.

        :param value: the case's ``expect``
        :param named: the case's ``runs``, if it has any
        """
        each = self.expectation(value)
        kinds = set(RunKind) if each.state == "success" else {RunKind.ONCE}
        if named is not None:
            kinds = {RunKind(name) for name in named.content}
        if RunKind.AGAIN in kinds and RunKind.ONCE not in kinds and named is not None:
            named.refuse("again is a run on what once has left: add once")
        expected = dict.fromkeys((kind for kind in RunKind if kind in kinds), each)
        for kind in (RunKind.AGAIN, RunKind.LOST):
            if (other := value.get(kind)) is None:
                continue
            differs = self.expectation(other)
            if kind in expected:
                expected[kind] = laid_over(each, differs, other.content)
            else:
                runs = ", ".join([*expected, kind])
                other.refuse(f"{kind} is no run of this case: write runs: [{runs}]")
        return expected

    def expectation(self, value: Value) -> Expectation:
        """Return what is expected of a run."""
        check, failed, said = value.get("check"), value.get("failed"), value.get("state")
        skipped = value.get("skipped")
        state = "failed" if check or (failed and failed.content) else "success"
        if said:
            state = said.content
        if check and state == "success":
            check.refuse("a run whose check fails is no success: leave out state, or check")
        return Expectation(
            place=value.place,
            state=state,
            check=check.content if check else None,
            failed=tuple(failed.content) if failed else None,
            skipped=tuple(skipped.content) if skipped else None,
            alerts=_alerts(value),
            tasks=tuple(self._task(key, inner) for key, inner in value.items("tasks")),
            tables=self._tables(value, "expectation"),
            files=self._contents(value),
        )

    def _task(self, key: str, value: Value) -> TaskExpectation:
        reason, state, returns = value.get("unverified"), value.get("state"), value.get("returns")
        if reason and len(value.content) > 1:
            reason.refuse(f"{key} is unverified, and something is expected of it: leave out one")
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
                queries.refuse(f"{database} is no database that this case is given{hint}")
                continue
            if database in self.down:
                queries.refuse(f"{database} is down in this case, and answers no query")
            for sql, content in queries.items():
                # The query becomes part of another statement.
                query = Query(database, sql.strip().rstrip("; \n"))
                if query in found:
                    first = found[query].place.line
                    content.refuse(f"the query is there twice, first in line {first}")
                found[query] = self._content(content)
        return found

    def _contents(self, value: Value) -> dict[str, Content]:
        found: dict[str, Content] = {}
        for name, content in value.items("files"):
            path = _files.case_path(content, name)
            if path is None:
                continue
            if path in found:
                content.refuse(f"{path} is there twice, first in line {found[path].place.line}")
            if content.content == _files.ABSENT:
                found[path] = Content(content.place, absent=True)
            else:
                found[path] = self._content(content)
        return found

    def _content(self, value: Value) -> Content:
        if isinstance(value.content, str):
            return Content(value.place, golden=_files.golden(value, self.top))
        rows = value.content.get("rows")
        return Content(
            value.place,
            rows=None if rows is None else int(rows),
            text=value.content.get("text"),
        )


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
    text = value.content[actions[0]] or ""
    fields = {key: inner for key, inner in value.content.items() if key not in _ACTIONS}
    return AlertExpectation(value.place, actions[0], text, fields)
