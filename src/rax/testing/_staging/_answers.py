# SPDX-License-Identifier: Apache-2.0
"""What Airflow's API says of a DAG, a run and its tasks: looked at for its form, here alone."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rax.testing._model import TaskKey
from rax.testing._staging._client import AnswerError

# Airflow's id of a DAG, a task or a run, and more than any of its states.
_MAX_TEXT_CHARACTERS = 250
_PARTS = ("check", "summary")
_OPERATORS = "rax.airflow.workflow"


class Dag(NamedTuple):
    """A DAG as the cluster has it."""

    is_paused: bool
    # No longer in a file of DAGs.
    is_stale: bool
    has_import_errors: bool


class Run(NamedTuple):
    """A run of a DAG."""

    id: str
    state: str
    # The commit of the repository; nothing where the cluster does not know it.
    version: str


class Task(NamedTuple):
    """A task of a DAG."""

    id: str
    # check or summary, where it is such a part of a workflow.
    part: str
    downstream: frozenset[str]


class Instance(NamedTuple):
    """A task of a run, or of a mapped one an instance."""

    key: TaskKey
    state: str
    tries: int
    seconds: float | None


def dag_of(answer: Mapping[str, Any]) -> Dag:
    """Read a DAG."""
    return Dag(*(bool(answer.get(name)) for name in ("is_paused", "is_stale", "has_import_errors")))


def run_of(answer: Mapping[str, Any]) -> Run:
    """Read a run.

    :raises AnswerError: it is none
    """
    version = answer.get("bundle_version")
    return Run(
        _text(answer, "dag_run_id"),
        _text(answer, "state"),
        version if isinstance(version, str) and len(version) <= _MAX_TEXT_CHARACTERS else "",
    )


def runs_of(answer: Mapping[str, Any]) -> list[Run]:
    """Read the runs that a list has.

    :raises AnswerError: it is none
    """
    return [run_of(one) for one in _list(answer, "dag_runs")]


def tasks_of(answer: Mapping[str, Any]) -> list[Task]:
    """Read the tasks of a DAG.

    :raises AnswerError: they are none
    """
    return [
        Task(
            _text(one, "task_id"),
            _part(one),
            frozenset(name for name in one.get("downstream_task_ids") or () if _is_text(name)),
        )
        for one in _list(answer, "tasks")
    ]


def instances_of(answer: Mapping[str, Any]) -> list[Instance]:
    """Read the tasks of a run.

    :raises AnswerError: they are none
    """
    return [*map(_instance, _list(answer, "task_instances"))]


def _instance(one: Mapping[str, Any]) -> Instance:
    index, seconds = _integer(one, "map_index"), one.get("duration")
    return Instance(
        TaskKey(_text(one, "task_id"), None if index < 0 else index),
        # A task that nothing was decided of has none.
        _text(one, "state") if one.get("state") is not None else "none",
        _integer(one, "try_number"),
        float(seconds) if isinstance(seconds, int | float) else None,
    )


def _part(one: Mapping[str, Any]) -> str:
    reference, name = one.get("class_ref"), one.get("operator_name")
    if not isinstance(reference, dict) or reference.get("module_path") != _OPERATORS:
        return ""
    part = name.removeprefix("@") if isinstance(name, str) else ""
    return part if part in _PARTS else ""


def _list(answer: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise _refused(name)
    yield from found


def _text(answer: Mapping[str, Any], name: str) -> str:
    found = answer.get(name)
    if not _is_text(found):
        raise _refused(name)
    return str(found)


def _is_text(found: object) -> bool:
    return isinstance(found, str) and 0 < len(found) <= _MAX_TEXT_CHARACTERS


def _integer(answer: Mapping[str, Any], name: str) -> int:
    found = answer.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise _refused(name)
    return found


def _refused(name: str) -> AnswerError:
    return AnswerError(f"an answer has no {name}, or one that is none of Airflow 3")
