# SPDX-License-Identifier: Apache-2.0
"""What the specs of a workflow say of each of its tasks, and in which cases."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from rax.airflow._outcomes import CHECK, SUMMARY
from rax.checking._dags._answers import STANDARD, Dag
from rax.testing._drafting._text import UNVERIFIED
from rax.testing._model import UNSET, Case, RunKind, Spec, TaskExpectation


class Coverage:
    """What is expected of a workflow in all cases of its specs together.

    :param dag: the workflow
    :param specs: all that are of it
    """

    def __init__(self, dag: Dag, specs: Sequence[Spec]) -> None:
        self.dag = dag
        self.specs = specs
        self.cases = [case for spec in specs for case in spec.cases]
        self._expected = [one for case in self.cases for one in case.runs.values()]
        self._of_tasks = [task for one in self._expected for task in one.tasks]

    @cached_property
    def unverified(self) -> list[str]:
        """The tasks of which a spec says why nothing is expected of them."""
        reasoned = self._reasoned - self._verified
        return [task.id for task in self.dag.tasks if task.id in reasoned]

    @cached_property
    def missing(self) -> list[str]:
        """The tasks of which nothing is said."""
        said = self._reasoned | self._verified
        # That which no author wrote has nothing of its own to be expected.
        own = [task.id for task in self.dag.tasks if task.part != STANDARD]
        return [name for name in own if name not in said]

    @property
    def verified(self) -> list[str]:
        """The tasks of which something is expected."""
        return [task.id for task in self.dag.tasks if task.id in self._verified]

    @property
    def checks(self) -> list[str]:
        """The checks."""
        return [task.id for task in self.dag.tasks if task.part == CHECK]

    @property
    def summary(self) -> str:
        """The summary that the author wrote; nothing where there is none."""
        return next((task.id for task in self.dag.tasks if task.part == SUMMARY), "")

    @cached_property
    def seen_failing(self) -> set[str]:
        """The ids of the tasks that fail in a case, and are expected to."""
        named = {name for one in self._expected for name in (*(one.failed or ()), one.check or "")}
        return {_id(name) for name in named} | {
            one.key.task_id for one in self._of_tasks if one.state == "failed"
        }

    @cached_property
    def databases(self) -> dict[str, str]:
        """The databases that cases are given, and the section of each."""
        return {
            name: section
            for case in self.cases
            for section, given in _sections(case)
            for name in given
        }

    @property
    def never_empty(self) -> list[str]:
        """The databases that no case that succeeds begins with empty."""
        empty = {
            name
            for case in self.cases
            if any(expected.state == "success" for expected in case.runs.values())
            for _section, given in _sections(case)
            for name, scripts in given.items()
            if not scripts and name not in case.given.down
        }
        return [name for name in self.databases if name not in empty]

    @property
    def without_alerts(self) -> list[Case]:
        """The cases that fail, and of whose alerts nothing is said."""
        return [
            case
            for case in self.cases
            if any(one.state == "failed" and one.alerts is None for one in case.runs.values())
        ]

    @property
    def repeated(self) -> int:
        """How many cases run more than once."""
        return sum(bool({RunKind.AGAIN, RunKind.LOST} & {*case.runs}) for case in self.cases)

    @cached_property
    def _reasoned(self) -> set[str]:
        # That of a draft is none.
        reasons = {one.key.task_id: one.unverified for one in self._of_tasks if one.unverified}
        return {task_id for task_id, reason in reasons.items() if reason != UNVERIFIED}

    @cached_property
    def _verified(self) -> set[str]:
        ids = {one.key.task_id for one in self._of_tasks if _says_something(one)}
        skipped = {_id(name) for one in self._expected for name in one.skipped or ()}
        return ids | skipped | self.seen_failing


def _says_something(one: TaskExpectation) -> bool:
    # That a task succeeds is said of the run already.
    has_state = one.state not in (None, "success")
    return bool(has_state or one.returns is not UNSET or one.tables or one.files)


def _sections(case: Case) -> Iterable[tuple[str, dict[str, tuple[object, ...]]]]:
    yield "postgres", dict(case.given.postgres)
    yield "sqlite", dict(case.given.sqlite)


def _id(name: str) -> str:
    return name.partition("[")[0]
