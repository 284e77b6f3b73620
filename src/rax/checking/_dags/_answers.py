# SPDX-License-Identifier: Apache-2.0
"""What the process that has Airflow answers: checked for form, since anything ran beside it."""

import json
from typing import Any, NamedTuple

from rax.checking._dags._effects import KINDS

# The summary that a workflow has where its author wrote none.
STANDARD = "standard"
# Longer names are no names.
_MAX_CHARACTERS = 10_000


class FormError(Exception):
    """An answer has another form than those that this package gives."""


class About(NamedTuple):
    """What this environment, which should be that of the nodes, has."""

    version: str
    # The verdict on each import of Airflow that was asked for, and what it is about.
    airflow: list[tuple[str, str]]
    # The part of each other module that is lacking, if any.
    others: list[str | None]
    dag_arguments: set[str]
    # The paths that Airflow's own search finds in the folder of DAGs.
    searched: set[str]


class Effect(NamedTuple):
    """What a line of the repository did while a file was loaded."""

    file: str
    line: int
    kind: str
    what: str


class Error(NamedTuple):
    """Why a file could not be loaded."""

    # Of the exception: where its class is from, and the class.
    module: str
    kind: str
    text: str
    # The author's own steps to it, from the file inwards: file and line.
    frames: list[tuple[str, int]]


class Task(NamedTuple):
    """A task of a DAG."""

    id: str
    # Of a workflow: check, summary, STANDARD or nothing.
    part: str = ""


class Dag(NamedTuple):
    """A DAG that a file makes."""

    id: str
    # Of the file that makes it; 0 where that is not known.
    line: int
    # Why it has a cycle, and why Airflow does not take it otherwise.
    cycle: str
    problem: str
    # Whether it ends in a summary.
    summary: bool
    # In their order; none where it has a cycle.
    tasks: tuple[Task, ...] = ()


class Loaded(NamedTuple):
    """What came of loading a file."""

    seconds: float
    effects: list[Effect]
    error: Error | None
    dags: list[Dag]
    # The files of the repository that it has imported.
    loaded: list[str]


class Ended(NamedTuple):
    """How the process ended that was to load a file, and what it said."""

    # What wait() says; None where it had to be ended.
    status: int | None
    # Whether it left others running.
    left: bool
    said: str


def about(text: str) -> About:
    """Read what the environment has.

    :raises FormError: it is of another form
    """
    found = _mapping(_json(text))
    airflow = [(_text(kind), _text(what)) for kind, what in map(_pair, _list(found, "airflow"))]
    others = [None if one is None else _text(one) for one in _list(found, "others")]
    names = ({_text(one) for one in _list(found, key)} for key in ("dag_arguments", "searched"))
    return About(_text(found.get("version")), airflow, others, *names)


def ended(text: str) -> Ended:
    """Read how the process of a file ended.

    :raises FormError: it is of another form
    """
    found = _mapping(_json(text))
    said = found.get("said")
    if not isinstance(said, str):
        raise FormError
    status = None if _flag(found.get("late")) else _number(found.get("status"))
    return Ended(status, _flag(found.get("left")), said)


def loaded(text: str) -> Loaded:
    """Read what the process of a file said: anything, if the file is hostile.

    :raises FormError: it is of another form
    """
    found = _mapping(_json(text))
    seconds = found.get("seconds")
    if not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
        raise FormError
    error = found.get("error")
    return Loaded(
        seconds,
        [_effect(one) for one in _list(found, "effects")],
        None if error is None else _error(_mapping(error)),
        [_dag(_mapping(one)) for one in _list(found, "dags")],
        [_text(one) for one in _list(found, "loaded")],
    )


def _effect(value: object) -> Effect:
    if not isinstance(value, list) or len(value) != 4 or value[2] not in KINDS:
        raise FormError
    return Effect(_text(value[0]), _number(value[1]), value[2], _text(value[3]))


def _error(found: dict[str, Any]) -> Error:
    frames = [(_text(file), _number(line)) for file, line in map(_pair, _list(found, "frames"))]
    module, kind, text = (_text(found.get(key)) for key in ("module", "kind", "text"))
    return Error(module, kind, text, frames)


def _dag(found: dict[str, Any]) -> Dag:
    return Dag(
        _text(found.get("id")),
        _number(found.get("line")),
        _text(found.get("cycle")),
        _text(found.get("problem")),
        _flag(found.get("summary")),
        tuple(Task(_text(name), _text(part)) for name, part in map(_pair, _list(found, "tasks"))),
    )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise FormError from None


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormError
    return value


def _list(found: dict[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    if not isinstance(value, list):
        raise FormError
    return value


def _pair(value: object) -> tuple[object, object]:
    if not isinstance(value, list) or len(value) != 2:
        raise FormError
    return value[0], value[1]


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_CHARACTERS:
        raise FormError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise FormError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise FormError
    return value
