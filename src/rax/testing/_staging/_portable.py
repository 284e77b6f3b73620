# SPDX-License-Identifier: Apache-2.0
"""What of a case is run and compared on a cluster, and what is left out."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import NamedTuple

from rax.testing._model import Case, Expectation, Given

# What the cluster is told; all else that is given stands in for what it has itself.
_TOLD = ("conf", "logical_date")
_SECTIONS = [field.name for field in fields(Given) if field.name not in _TOLD]
# Where a spec has another word for it.
_WORDS = {"configs": "config"}


class Portable(NamedTuple):
    """A case as a cluster runs it."""

    # Its runs are those of the cluster, with what is compared of each.
    case: Case
    # What is given on a laptop, where the cluster has its own.
    own: tuple[str, ...]
    # What is not compared.
    left_out: tuple[str, ...]


def portable(case: Case) -> Portable:
    """Return what a cluster runs of a case that is made for one."""
    runs = {kind: _comparable(expected, case.given) for kind, expected in case.target.items()}
    left_out = dict.fromkeys(
        text for expected in case.target.values() for text in _left_out(expected, case.given)
    )
    left_out |= {str(kind): None for kind in case.runs if kind not in case.target}
    given = Given(**{name: getattr(case.given, name) for name in _TOLD})
    return Portable(
        replace(case, given=given, runs=runs), tuple(_given(case.given)), tuple(left_out)
    )


def reason_against(case: Case) -> str:
    """Say why a case that is not made for a cluster is not run on one."""
    found = ", ".join(f"given.{name}" for name in _given(case.given))
    return f"not portable: {found}" if found else "not marked target: true"


def _given(given: Given) -> Iterator[str]:
    return (_WORDS.get(name, name) for name in _SECTIONS if getattr(given, name))


def _left_out(expected: Expectation, given: Given) -> Iterator[str]:
    if expected.alerts is not None:
        yield "alerts"
    if expected.files:
        yield "files"
    yield from (query.database for query in expected.tables if query.database in given.sqlite)
    for task in expected.tasks:
        if task.tables:
            yield f"tables of {task.key} when it ended"
        if task.files:
            yield f"files of {task.key}"


def _comparable(expected: Expectation, given: Given) -> Expectation:
    return replace(
        expected,
        alerts=None,
        files={},
        tables={
            query: content
            for query, content in expected.tables.items()
            if query.database not in given.sqlite
        },
        tasks=tuple(replace(task, tables={}, files={}) for task in expected.tasks),
    )
