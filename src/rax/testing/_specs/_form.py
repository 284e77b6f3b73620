# SPDX-License-Identifier: Apache-2.0
"""The form of a spec, which is the schema that editors have, and what does not have it."""

import copy
import functools
import json
import re
from collections.abc import Collection, Iterator
from importlib import resources
from typing import Any, NamedTuple

from rax.config._files import near
from rax.testing._specs._document import Steps


class Misfit(NamedTuple):
    """A value that does not have the form, or the key of one."""

    steps: Steps
    text: str
    # Whether what is left is a spec without this value.
    is_value: bool = True


@functools.cache
def _schema() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("flow.schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec, which an editor can check and complete one by."""
    return copy.deepcopy(_schema())


def misfits(document: dict[str, Any], databases: Collection[str]) -> list[Misfit]:
    """Return all that does not have the form of a spec, in no order.

    :param databases: the keys of an expectation that are no word of the form
    """
    errors = _validator(frozenset(databases)).iter_errors(document)
    return [misfit for error in errors for misfit in _misfits(error)]


def words(definition: str) -> Collection[str]:
    """Return the keys that a definition of the schema has, such as ``task``."""
    found: dict[str, Any] = _schema()["$defs"][definition]["properties"]
    return found.keys()


@functools.lru_cache(maxsize=8)
def _validator(databases: frozenset[str]) -> Any:
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_validator: Any, expression: str, value: Any, _schema: Any) -> Iterator[Any]:
        # A line break at the end goes unseen by $ in Python, and in Python alone.
        if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", expression), value):
            yield ValidationError("")

    form = schema()
    for definition in form["$defs"].values():
        other = definition.get("additionalProperties")
        if definition.get("properties") and other:
            names = databases - definition["properties"].keys()
            definition["properties"] |= dict.fromkeys(names, other)
            definition["additionalProperties"] = False
    return validators.extend(Draft202012Validator, {"pattern": pattern})(form)


def _misfits(error: Any) -> Iterator[Misfit]:
    steps, value, form = tuple(error.absolute_path), error.instance, error.schema
    # A key is checked by the schema of its mapping's keys, and is named instead of the mapping.
    if "propertyNames" in error.absolute_schema_path:
        yield Misfit((*steps, value), f"{value!r} is a key, where {_wanted(form)} is expected")
    elif error.validator == "additionalProperties":
        for key in value:
            if key not in form["properties"]:
                yield Misfit((*steps, key), _unknown(key, form))
    elif error.validator == "required":
        for key in form["required"]:
            if key not in value and repr(key) in error.message:
                yield Misfit(steps, f"{key} is missing: {_wanted(form['properties'][key])}", False)
    else:
        yield Misfit(
            steps, f"{_subject(steps)} is {_found(error)}, where {_wanted(form)} is expected"
        )


def _unknown(key: Any, form: Any) -> str:
    known = form["properties"]
    hint = near(str(key), known) or f": there are {', '.join(known)}"
    return f"{key!r} is no key of {_wanted(form)}{hint}"


def _wanted(form: Any) -> str:
    return str(form.get("title") or form["$ref"].rpartition("/")[2])


def _subject(steps: Steps) -> str:
    """Name a value by its key, and in a list by its index, too.

    >>> _subject(("cases", "good", "runs", 1))
    'runs[1]'
    """
    if not steps:
        return "the spec"
    if isinstance(steps[-1], int) and len(steps) > 1:
        return f"{_subject(steps[:-1])}[{steps[-1]}]"
    return str(steps[-1])


def _found(error: Any) -> str:
    value = error.instance
    if error.validator in ("uniqueItems",):
        return "a list that has something twice"
    if isinstance(value, str):
        return "a text" if error.validator == "type" else "another text"
    return kind(value)


def kind(value: Any) -> str:
    """Name what a value is, without its content."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    name = "list" if isinstance(value, list) else "mapping"
    return f"a {name}" if value else f"an empty {name}"
