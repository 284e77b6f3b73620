# SPDX-License-Identifier: Apache-2.0
"""The form of a spec: the schema that editors have, and what does not fit it."""

import copy
import functools
import json
import re
from collections.abc import Collection, Iterator
from importlib import resources
from typing import Any

from rax.testing._specs._misfits import Misfit, misfits_of


@functools.cache
def _schema() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("flow.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec, by which editors check and complete one."""
    return copy.deepcopy(_schema())


def words(definition: str) -> Collection[str]:
    """Return the keys that a definition of the schema has, such as ``task``."""
    found: dict[str, Any] = _schema()["$defs"][definition]["properties"]
    return found.keys()


def misfits(document: dict[str, Any], databases: Collection[str]) -> list[Misfit]:
    """Return all that does not have the form of a spec, in no order.

    :param databases: the keys of expectations and changes that are no words of the schema
    """
    form = _with(frozenset(databases))
    errors = _validator_class()(form).iter_errors(document)
    return [misfit for error in errors for misfit in misfits_of(error, form)]


def _with(databases: frozenset[str]) -> dict[str, Any]:
    """Return the schema for a spec that is given these databases, so that other keys are wrong."""
    form = schema()
    for definition in form["$defs"].values():
        queries = definition.get("additionalProperties")
        if queries and "properties" in definition:
            names = sorted(databases - definition["properties"].keys())
            definition["properties"] |= dict.fromkeys(names, queries)
            definition["additionalProperties"] = False
    return form


@functools.cache
def _validator_class() -> Any:
    # Here, because what only looks for specs does not need it.
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_validator: Any, expression: str, value: Any, _schema: Any) -> Iterator[Any]:
        # To Python alone, $ is before a line break at the end, too.
        if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", expression), value):
            yield ValidationError(expression)

    return validators.extend(Draft202012Validator, {"pattern": pattern})
