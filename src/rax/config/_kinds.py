# SPDX-License-Identifier: Apache-2.0
"""The types that a field of a schema may have, and what messages call them."""

import datetime
import types
import typing
from collections import abc
from collections.abc import Mapping
from typing import Any

from rax.config._credential_name import CredentialName, names_credential

# A config has these as texts. Of each, the form and an example.
_DATE, _TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{2}:[0-9]{2}(:[0-9]{2}.*)?"
TIMES: dict[Any, tuple[str, str]] = {
    datetime.date: (_DATE, "2026-01-31"),
    datetime.datetime: (f"{_DATE}[T ]{_TIME}.*", "2026-01-31T22:30:00Z"),
    datetime.time: (_TIME, "22:30"),
}
SCALARS = (str, int, float, bool, *TIMES, types.NoneType)
LISTS: dict[Any, Any] = {
    list: list,
    set: set,
    frozenset: frozenset,
    abc.Sequence: tuple,
    abc.Set: frozenset,
    abc.Collection: tuple,
    abc.Iterable: tuple,
}
MAPPINGS = (dict, abc.Mapping)


def bare(kind: Any) -> Any:
    """Return what a NewType, a ``type X = …`` or an annotated type stands for.

    CredentialName stays what it is.
    """
    while not names_credential(kind):
        if hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif hasattr(kind, "__value__"):
            kind = kind.__value__
        elif typing.get_origin(kind) is typing.Annotated:
            kind = kind.__origin__
        else:
            return types.NoneType if kind is None else kind
    return CredentialName


def is_union(kind: Any) -> bool:
    """Return whether a type is one of several."""
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def mismatch(kind: Any, value: Any, path: str) -> str:
    """Say that the value at a path is of another type than the one that is expected."""
    found = "nothing" if value is None else f"of type {type(value).__name__}"
    if isinstance(value, Mapping):
        found = "a mapping"
    elif isinstance(value, tuple):
        found = "a list"
    return f"{path or 'it'} is {found}, where {shown(kind)} is expected"


def shown(kind: Any) -> str:
    """Return how an author writes a type."""
    kind = bare(kind)
    if is_union(kind):
        return " or ".join(map(shown, typing.get_args(kind)))
    if kind is types.NoneType:
        return "None"
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace(str(CredentialName), "CredentialName").replace("typing.", "")
