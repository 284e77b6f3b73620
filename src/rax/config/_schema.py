# SPDX-License-Identifier: Apache-2.0
"""From a config to an instance of a dataclass or pydantic model that describes it."""

import dataclasses
import datetime
import re
import types
import typing
from collections import abc
from collections.abc import Mapping
from typing import Any, TypeVar

from rax.config._files import near
from rax.config._secrets import is_secret_setting
from rax.errors import MalformedConfigError, RaxError

_Schema = TypeVar("_Schema")

# A config has these as texts. Of each, the form and an example.
_DATE, _TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{2}:[0-9]{2}(:[0-9]{2}.*)?"
_TIMES: dict[Any, tuple[str, str]] = {
    datetime.date: (_DATE, "2026-01-31"),
    datetime.datetime: (f"{_DATE}[T ]{_TIME}.*", "2026-01-31T22:30:00Z"),
    datetime.time: (_TIME, "22:30"),
}
_SCALARS = (str, int, float, bool, *_TIMES, types.NoneType)
_LISTS: dict[Any, Any] = {
    list: list,
    set: set,
    frozenset: frozenset,
    abc.Sequence: tuple,
    abc.Set: frozenset,
    abc.Collection: tuple,
    abc.Iterable: tuple,
}
_MAPPINGS = (dict, abc.Mapping)


def build(schema: type[_Schema], config: Mapping[str, Any], what: str) -> _Schema:
    """Return an instance of the schema, made of a config.

    Raises MalformedConfigError with everything that does not fit, and RaxError for what is no
    schema, or one with types that no config can have.
    """
    problems: list[str] = []
    instance = _checked(schema, config, problems)
    if problems:
        raise MalformedConfigError(f"{what} does not fit {schema.__name__}: {'; '.join(problems)}")
    return typing.cast("_Schema", instance)


def find_problems(schema: type[Any], config: Mapping[str, Any]) -> list[str]:
    """Return all that build() would refuse a config for; each begins with the path of a value.

    Raises RaxError for what is no schema, or one with types that no config can have.
    """
    problems: list[str] = []
    _checked(schema, config, problems)
    return problems


def _checked(schema: type[Any], config: Mapping[str, Any], problems: list[str]) -> Any:
    if not isinstance(schema, type) or not (_is_model(schema) or dataclasses.is_dataclass(schema)):
        raise RaxError(f"{schema!r} is not a schema: it has to be a dataclass or a pydantic model")
    return _object(schema, config, "", problems)


def _is_model(schema: Any) -> bool:
    return callable(getattr(schema, "model_validate", None))


def _object(schema: Any, values: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(_mismatch(schema, values, path))
        return None
    if _is_model(schema):
        return _made(lambda: schema.model_validate(_plain(values)), path, problems)
    fields = {field.name: field for field in dataclasses.fields(schema) if field.init}
    hints, arguments, before = _hints(schema), {}, len(problems)
    for key in values:
        if key not in fields:
            problems.append(f"{_join(path, key)} is unknown{near(str(key), fields)}")
    for name, field in fields.items():
        where = _join(path, name)
        if name in values:
            arguments[name] = _value(hints[name], values[name], where, problems)
        elif field.default is field.default_factory is dataclasses.MISSING:
            problems.append(f"{where} is missing")
    if len(problems) > before:
        return None
    quiet = any(map(is_secret_setting, fields))
    return _made(lambda: schema(**arguments), path, problems, quiet=quiet)


def _hints(schema: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(schema)
    except (NameError, TypeError, SyntaxError) as error:
        raise RaxError(f"the types of {schema.__name__} cannot be resolved: {error}") from None


def _made(
    make: abc.Callable[[], Any], path: str, problems: list[str], *, quiet: bool = False
) -> Any:
    """Return what a schema's own code makes, or note why it refuses, without the input."""
    try:
        return make()
    except (ValueError, TypeError, AssertionError) as error:
        problems.extend(_refusals(error, path, quiet))
    return None


def _refusals(error: Exception, path: str, quiet: bool) -> list[str]:
    errors = getattr(error, "errors", None)
    if not callable(errors):
        text = "" if quiet else f": {error}"
        return [f"{path or 'it'} is refused by {type(error).__name__}{text}"]
    # These are pydantic's errors, whose own text quotes the input.
    found = []
    for entry in errors(include_url=False, include_context=False, include_input=False):
        where, steps = path, entry["loc"]
        for step in steps:
            where = f"{where}[{step}]" if isinstance(step, int) else _join(where, step)
        secret = quiet or any(is_secret_setting(str(step)) for step in steps)
        found.append(f"{where or 'it'}: {entry['type'] if secret else entry['msg']}")
    return found


def _value(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """Return the value as the kind of a field has it, or note why it cannot be one."""
    while hasattr(kind, "__supertype__") or hasattr(kind, "__value__"):  # NewType, type X = …
        kind = getattr(kind, "__supertype__", None) or kind.__value__
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return value
    if kind is None:
        kind = types.NoneType
    if origin in (typing.Union, types.UnionType):
        return _member(arguments, value, path, problems)
    if origin is typing.Literal:
        if any(type(value) is type(one) and value == one for one in arguments):
            return value
        problems.append(f"{path} is not one of {', '.join(map(repr, arguments))}")
        return None
    container = origin or kind
    if container is tuple:
        return _tuple(kind, arguments, value, path, problems)
    if container in _LISTS:
        if _is_list(value):
            item = arguments[0] if arguments else Any
            items = _items([item] * len(value), value, path, problems)
            try:
                return _LISTS[container](items)
            except TypeError:
                problems.append(f"{path} has a value that a set cannot hold, such as a mapping")
                return None
    elif container in _MAPPINGS:
        if isinstance(value, Mapping):
            return _mapping(arguments or (Any, Any), value, path, problems)
    elif _is_model(kind) or dataclasses.is_dataclass(kind):
        return _object(kind, value, path, problems)
    elif kind not in _SCALARS:
        raise RaxError(f"{path} cannot be {_shown(kind)} in a schema: no config has such a value")
    else:
        # A bool is an int to isinstance.
        given = type(value)
        if given is kind:
            return value
        if kind is float and given is int:
            return float(value)
        if kind in _TIMES and given is str:
            return _time(kind, value, path, problems)
    problems.append(_mismatch(kind, value, path))
    return None


def _time(kind: Any, value: str, path: str, problems: list[str]) -> Any:
    """Return the date or time that a text is."""
    form, example = _TIMES[kind]
    try:
        if re.fullmatch(form, value):
            return kind.fromisoformat(value)
    except ValueError:
        # There is no 30 February.
        pass
    problems.append(f'{path} is a text, and no {kind.__name__} such as "{example}"')
    return None


def _member(kinds: tuple[Any, ...], value: Any, path: str, problems: list[str]) -> Any:
    """Return the value as the first kind of a union that it fits, best as it is."""
    rest = [kind for kind in kinds if kind is not types.NoneType]
    if len(rest) == 1 and value is not None:
        return _value(rest[0], value, path, problems)
    tried: list[list[str]] = []
    for kind in sorted(kinds, key=lambda kind: kind is not type(value)):
        found: list[str] = []
        result = _value(kind, value, path, found)
        if not found:
            return result
        tried.append(found)
    # A problem inside the value is closer to the mistake than that the value is of another kind.
    inside = [found for found in tried if found[0].startswith((f"{path}.", f"{path}["))]
    if len(inside) == 1:
        problems.extend(inside[0])
    else:
        problems.append(_mismatch(typing.Union[kinds], value, path))  # noqa: UP007 - made of a tuple
    return None


def _tuple(
    kind: Any, arguments: tuple[Any, ...], value: Any, path: str, problems: list[str]
) -> Any:
    if not _is_list(value):
        problems.append(_mismatch(kind, value, path))
        return None
    if not arguments:
        kinds = [Any] * len(value)
    elif len(arguments) == 2 and arguments[1] is ...:
        kinds = [arguments[0]] * len(value)
    elif len(arguments) == len(value):
        kinds = list(arguments)
    else:
        problems.append(f"{path} has {len(value)} values, where {len(arguments)} are expected")
        return None
    return tuple(_items(kinds, value, path, problems))


def _items(kinds: list[Any], values: Any, path: str, problems: list[str]) -> list[Any]:
    return [
        _value(kind, value, f"{path}[{index}]", problems)
        for index, (kind, value) in enumerate(zip(kinds, values, strict=True))
    ]


def _mapping(
    kinds: tuple[Any, ...], values: Mapping[Any, Any], path: str, problems: list[str]
) -> dict[Any, Any]:
    return {
        _value(kinds[0], key, f"the key {_join(path, key)}", problems): _value(
            kinds[1], value, _join(path, key), problems
        )
        for key, value in values.items()
    }


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _plain(value: Any) -> Any:
    """Return dicts and lists, which pydantic takes in its strict mode too."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _mismatch(kind: Any, value: Any, path: str) -> str:
    found = "nothing" if value is None else f"of type {type(value).__name__}"
    if isinstance(value, Mapping):
        found = "a mapping"
    elif isinstance(value, tuple):
        found = "a list"
    return f"{path or 'it'} is {found}, where {_shown(kind)} is expected"


def _shown(kind: Any) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(map(_shown, typing.get_args(kind)))
    if kind is types.NoneType:
        return "None"
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "")
