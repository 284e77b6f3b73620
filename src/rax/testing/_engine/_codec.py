# SPDX-License-Identifier: Apache-2.0
"""What a case's process writes, as JSON: read by its types, since an author's code ran there."""

import base64
import collections.abc
import dataclasses
import enum
import json
import types
import typing
from typing import Any, TypeVar

from rax.testing._model import UNSET

_Kind = TypeVar("_Kind")


class FormError(Exception):
    """What was read is not what is written here."""


def dump(value: object) -> bytes:
    """Return a value as JSON, which ``load`` takes with its type."""
    return json.dumps(_plain(type(value), value)).encode()


def load(kind: type[_Kind], content: bytes) -> _Kind:
    """Return the value of a type that is in JSON.

    :raises FormError: there is none
    """
    try:
        found: _Kind = _typed(kind, json.loads(content))
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise FormError(str(error)) from None
    return found


def _plain(kind: Any, value: Any) -> Any:
    """Return what JSON has of a value of a type; what may be anything is JSON already."""
    if kind is Any or value is None:
        return value
    kind = _not_none(kind)
    if dataclasses.is_dataclass(kind):
        found = ((name, of, getattr(value, name)) for name, of in _fields(kind).items())
        return {name: _plain(of, item) for name, of, item in found if item is not UNSET}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is collections.abc.Mapping:
        # As pairs, since a key may be more than a text.
        return [
            [_plain(of, one) for of, one in zip(arguments, pair, strict=True)]
            for pair in value.items()
        ]
    if origin in (tuple, frozenset):
        return [_plain(arguments[0], item) for item in value]
    if issubclass(kind, tuple):
        return [_plain(of, one) for of, one in zip(_fields(kind).values(), value, strict=True)]
    if issubclass(kind, enum.Enum):
        return value.value
    return base64.b64encode(value).decode() if kind is bytes else value


def _typed(kind: Any, value: Any) -> Any:
    """Return the value of a type; it is the reverse of ``_plain``."""
    if kind is Any or (value is None and type(None) in typing.get_args(kind)):
        return value
    kind = _not_none(kind)
    if dataclasses.is_dataclass(kind):
        fields, make = _fields(kind), typing.cast(Any, kind)
        return make(**{name: _typed(fields[name], one) for name, one in _a(dict, value).items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is collections.abc.Mapping:
        return dict(_items(arguments, pair) for pair in _a(list, value))
    if origin in (tuple, frozenset):
        return origin(_typed(arguments[0], item) for item in _a(list, value))
    if issubclass(kind, tuple):
        return kind(*_items(_fields(kind).values(), value))
    if issubclass(kind, enum.Enum):
        return kind(value)
    if kind is bytes:
        return base64.b64decode(_a(str, value), validate=True)
    if kind is float:
        return float(_a(int | float, value))
    return _a(kind, value)


def _items(kinds: typing.Iterable[Any], value: Any) -> tuple[Any, ...]:
    return tuple(_typed(kind, item) for kind, item in zip(kinds, _a(list, value), strict=True))


def _a(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise FormError(f"{value!r:.100} is not of {kind}")
    return value


def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass or of a named tuple."""
    return typing.get_type_hints(kind)


def _not_none(kind: Any) -> Any:
    """Return what a type may be besides None."""
    if isinstance(kind, types.UnionType):
        (kind,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
    return kind
