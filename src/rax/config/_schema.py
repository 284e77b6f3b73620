# SPDX-License-Identifier: Apache-2.0
"""From a config to an instance of a dataclass or pydantic model that describes it."""

import dataclasses
import re
import types
import typing
from collections import abc
from collections.abc import Mapping
from typing import Any, TypeVar

from rax.config._credential_name import CredentialName, names_credential
from rax.config._files import near
from rax.config._kinds import LISTS, MAPPINGS, SCALARS, TIMES, bare, is_union, mismatch, shown
from rax.config._secrets import is_secret_setting
from rax.errors import MalformedConfigError, RaxError

_Schema = TypeVar("_Schema")

# Before the path of a value, where its key is meant.
KEY = "the key "
_NO_NAME = (
    "cannot be the name of a credential: that has letters, digits, '.', '_' and '-', "
    "and begins with a letter or digit"
)


@dataclasses.dataclass
class Fit:
    """How a config fits a schema."""

    # All that get_config() would refuse it for; each begins with the path of a value.
    problems: list[str] = dataclasses.field(default_factory=list)
    # The names of credentials that it has, by the path of their values.
    credentials: dict[str, str] = dataclasses.field(default_factory=dict)


def build(schema: type[_Schema], config: Mapping[str, Any], what: str) -> _Schema:
    """Return an instance of the schema, made of a config.

    Raises MalformedConfigError with everything that does not fit, and RaxError for what is no
    schema, or one with types that no config can have.
    """
    fit = Fit()
    instance = _checked(schema, config, fit)
    if fit.problems:
        problems = "; ".join(fit.problems)
        raise MalformedConfigError(f"{what} does not fit {schema.__name__}: {problems}")
    return typing.cast("_Schema", instance)


def compare(schema: type[Any], config: Mapping[str, Any]) -> Fit:
    """Return how a config fits a schema.

    Raises RaxError for what is no schema, or one with types that no config can have.
    """
    fit = Fit()
    _checked(schema, config, fit)
    return fit


def _checked(schema: type[Any], config: Mapping[str, Any], fit: Fit) -> Any:
    if not isinstance(schema, type) or not (_is_model(schema) or dataclasses.is_dataclass(schema)):
        raise RaxError(f"{schema!r} is not a schema: it has to be a dataclass or a pydantic model")
    return _object(schema, config, "", fit)


def _is_model(schema: Any) -> bool:
    return callable(getattr(schema, "model_validate", None))


def _object(schema: Any, values: Any, path: str, fit: Fit) -> Any:
    if not isinstance(values, Mapping):
        fit.problems.append(mismatch(schema, values, path))
        return None
    if _is_model(schema):
        return _made(lambda: schema.model_validate(_plain(values)), path, fit)
    fields = {field.name: field for field in dataclasses.fields(schema) if field.init}
    hints, arguments, before = _hints(schema), {}, len(fit.problems)
    for key in values:
        if key not in fields:
            fit.problems.append(f"{_join(path, key)} is unknown{near(str(key), fields)}")
    for name, field in fields.items():
        where = _join(path, name)
        if name in values:
            arguments[name] = _value(hints[name], values[name], where, fit)
        elif field.default is field.default_factory is dataclasses.MISSING:
            fit.problems.append(f"{where} is missing")
    if len(fit.problems) > before:
        return None
    quiet = any(map(is_secret_setting, fields))
    return _made(lambda: schema(**arguments), path, fit, quiet=quiet)


def _hints(schema: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(schema, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise RaxError(f"the types of {schema.__name__} cannot be resolved: {error}") from None


def _made(make: abc.Callable[[], Any], path: str, fit: Fit, *, quiet: bool = False) -> Any:
    """Return what a schema's own code makes, or note why it refuses, without the input."""
    try:
        return make()
    except (ValueError, TypeError, AssertionError) as error:
        fit.problems.extend(_refusals(error, path, quiet))
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


def _value(kind: Any, value: Any, path: str, fit: Fit) -> Any:
    """Return the value as the kind of a field has it, or note why it cannot be one."""
    kind = bare(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return value
    if is_union(kind):
        return _member(arguments, value, path, fit)
    if origin is typing.Literal:
        if any(type(value) is type(one) and value == one for one in arguments):
            return value
        fit.problems.append(f"{path} is not one of {', '.join(map(repr, arguments))}")
        return None
    container = origin or kind
    if container is tuple:
        return _tuple(kind, arguments, value, path, fit)
    if kind == CredentialName:
        if isinstance(value, str):
            return _credential_name(value, path, fit)
    elif container in LISTS:
        if _is_list(value):
            item = arguments[0] if arguments else Any
            items = _items([item] * len(value), value, path, fit)
            try:
                return LISTS[container](items)
            except TypeError:
                fit.problems.append(f"{path} has a value that a set cannot hold, such as a mapping")
                return None
    elif container in MAPPINGS:
        if isinstance(value, Mapping):
            return _mapping(arguments or (Any, Any), value, path, fit)
    elif _is_model(kind) or dataclasses.is_dataclass(kind):
        return _object(kind, value, path, fit)
    elif kind not in SCALARS:
        raise RaxError(f"{path} cannot be {shown(kind)} in a schema: no config has such a value")
    else:
        # A bool is an int to isinstance.
        given = type(value)
        if given is kind:
            return value
        if kind is float and given is int:
            return float(value)
        if kind in TIMES and given is str:
            return _time(kind, value, path, fit)
    fit.problems.append(mismatch(kind, value, path))
    return None


def _credential_name(value: str, path: str, fit: Fit) -> str:
    # Most schemas name no credential, and need not wait for the package.
    from rax.credentials._files import is_name

    if is_name(value):
        fit.credentials[path] = value
    else:
        # What stands there may be a password.
        fit.problems.append(f"{path} {_NO_NAME}")
    return value


def _time(kind: Any, value: str, path: str, fit: Fit) -> Any:
    """Return the date or time that a text is."""
    form, example = TIMES[kind]
    try:
        if re.fullmatch(form, value):
            return kind.fromisoformat(value)
    except ValueError:
        # There is no 30 February.
        pass
    fit.problems.append(f'{path} is a text, and no {kind.__name__} such as "{example}"')
    return None


def _member(kinds: tuple[Any, ...], value: Any, path: str, fit: Fit) -> Any:
    """Return the value as the first kind of a union that it fits, best as it is."""
    rest = [kind for kind in kinds if kind is not types.NoneType]
    if len(rest) == 1 and value is not None:
        return _value(rest[0], value, path, fit)
    tried: list[Fit] = []
    # Any word may be the name of a credential, and is one where it is nothing else.
    order = sorted(kinds, key=lambda kind: (names_credential(kind), kind is not value.__class__))
    for kind in order:
        found = Fit()
        result = _value(kind, value, path, found)
        if not found.problems:
            fit.credentials |= found.credentials
            return result
        tried.append(found)
    # A problem inside the value is closer to the mistake than that the value is of another kind.
    deeper = (f"{path}.", f"{path}[")
    inside = [found.problems for found in tried if found.problems[0].startswith(deeper)]
    if len(inside) == 1:
        fit.problems.extend(inside[0])
    else:
        fit.problems.append(mismatch(typing.Union[kinds], value, path))  # noqa: UP007 - of a tuple
    return None


def _tuple(kind: Any, arguments: tuple[Any, ...], value: Any, path: str, fit: Fit) -> Any:
    if not _is_list(value):
        fit.problems.append(mismatch(kind, value, path))
        return None
    if not arguments:
        kinds = [Any] * len(value)
    elif len(arguments) == 2 and arguments[1] is ...:
        kinds = [arguments[0]] * len(value)
    elif len(arguments) == len(value):
        kinds = list(arguments)
    else:
        fit.problems.append(f"{path} has {len(value)} values, where {len(arguments)} are expected")
        return None
    return tuple(_items(kinds, value, path, fit))


def _items(kinds: list[Any], values: Any, path: str, fit: Fit) -> list[Any]:
    return [
        _value(kind, value, f"{path}[{index}]", fit)
        for index, (kind, value) in enumerate(zip(kinds, values, strict=True))
    ]


def _mapping(
    kinds: tuple[Any, ...], values: Mapping[Any, Any], path: str, fit: Fit
) -> dict[Any, Any]:
    return {
        _value(kinds[0], key, f"{KEY}{_join(path, key)}", fit): _value(
            kinds[1], value, _join(path, key), fit
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
