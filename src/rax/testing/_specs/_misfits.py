# SPDX-License-Identifier: Apache-2.0
"""What does not fit the schema of a spec, in words: what is there, and what may have been meant."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rax.config._files import near
from rax.testing._specs._document import Steps

# What a value below these is may be a secret, or part of one.
_SECRETIVE = ("connections", "credentials", "environment", "http", "https", "variables")
_MAX_SHOWN_CHARACTERS = 60
_HINT_OF_COMMA = "; inside { } SQL that has a comma is a key in quotes"
_HINT_OF_DATABASE = "; a database is one of given.postgres or given.sqlite"


class Misfit(NamedTuple):
    """A value that does not fit, or a key, or a mapping that lacks one."""

    steps: Steps
    text: str
    # Whether what is left without it may fit.
    is_value: bool = True


def misfits_of(error: Any, form: dict[str, Any]) -> Iterator[Misfit]:
    """Yield what an error of jsonschema says, by the titles of the schema.

    :param form: the schema that it is about
    """
    steps, value, part = tuple(error.absolute_path), error.instance, error.schema
    # A key fails by the schema of its mapping's keys, and is a place of its own.
    if "propertyNames" in error.absolute_schema_path:
        yield Misfit((*steps, value), f"{shown(value)} is a key, where {_title(part)} is expected")
    elif error.validator == "additionalProperties":
        for key in value.keys() - part["properties"].keys():
            yield Misfit((*steps, key), _unknown(key, value[key], part, form))
    elif error.validator == "required":
        for key in part["required"]:
            if key not in value:
                wanted = _title(_resolved(part["properties"][key], form))
                yield Misfit(steps, f"{key} is missing: {wanted}", is_value=False)
    else:
        yield Misfit(steps, f"{_subject(steps)} is {_found(error)}{_wanted(error)}")


def kind(value: Any) -> str:
    """Name what a value is, without its content.

    >>> [kind(value) for value in (None, True, 1.5, "", {}, ["a"])]
    ['nothing', 'true', 'a number', 'an empty text', 'an empty mapping', 'a list']
    """
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return "a number"
    name = "text" if isinstance(value, str) else "list" if isinstance(value, list) else "mapping"
    return f"a {name}" if value else f"an empty {name}"


def shown(text: object) -> str:
    """Return a key as a message has it."""
    found = str(text)
    if len(found) > _MAX_SHOWN_CHARACTERS:
        found = f"{found[: _MAX_SHOWN_CHARACTERS - 1]}…"
    return repr(found) if isinstance(text, str) else found


def _found(error: Any) -> str:
    """Say what is there in the place of what is expected."""
    value, rule = error.instance, error.validator
    is_secretive = not set(_SECRETIVE).isdisjoint(error.absolute_path)
    if rule == "uniqueItems":
        return "a list that has one thing twice"
    if rule == "maxProperties":
        return f"a mapping of {len(value)}"
    if rule in ("minimum", "maximum"):
        return str(value)
    if rule in ("enum", "pattern") and value and isinstance(value, str):
        return "another text" if is_secretive else shown(value)
    return kind(value)


def _wanted(error: Any) -> str:
    """Say what is expected, and what may have been meant."""
    title, hint = _title(error.schema), ""
    if error.validator == "enum" and isinstance(error.instance, str):
        hint = near(error.instance, error.schema["enum"])
    if error.instance is None and [*error.schema.get("properties", ())] == ["rows"]:
        hint = _HINT_OF_COMMA
    return f", where {title} is expected{hint}"


def _unknown(key: Any, value: Any, part: dict[str, Any], form: dict[str, Any]) -> str:
    """Say that there is no such key, and which there may have been meant."""
    known = part["properties"]
    name = _title(part).partition(" (")[0]
    hint = near(str(key), known)
    if not hint:
        inner = [
            f"{word}.{key}"
            for word, inside in known.items()
            if key in _resolved(inside, form).get("properties", ())
        ]
        hint = f": did you mean {' or '.join(inner)}?" if inner else f", which has {_list(known)}"
        takes_databases = (
            not known.keys().isdisjoint(("files", "check")) and "postgres" not in known
        )
        if not inner and takes_databases and isinstance(value, dict | str):
            hint += _HINT_OF_DATABASE
    return f"{shown(key)} is no key of {name}{hint}"


def _list(known: Any) -> str:
    *most, last = known
    return f"{', '.join(most)} and {last}" if most else str(last)


def _title(part: dict[str, Any]) -> str:
    return str(part["title"])


def _resolved(part: dict[str, Any], form: dict[str, Any]) -> dict[str, Any]:
    """Return the definition that a part of the schema refers to, however many steps away."""
    while (reference := part.get("$ref")) is not None:
        part = form
        for step in reference.split("/")[1:]:
            part = part[step]
    return part


def _subject(steps: Steps) -> str:
    """Name a value by its key, and in a list by its index, too.

    >>> _subject(("cases", "good", "runs", 1))
    'runs[1]'
    """
    if not steps:
        return "the spec"
    last = steps[-1]
    if isinstance(last, int) and len(steps) > 1:
        return f"{_subject(steps[:-1])}[{last}]"
    return shown(last).strip("'\"")
