# SPDX-License-Identifier: Apache-2.0
"""Whether a config fits the dataclass that the code names for it, without running any of the code.

A dataclass is made again of what its source says of its fields, and asked as get_config() asks it.
What only a run can tell is left open: other types, a base class, __post_init__, a pydantic model.
"""

import ast
import collections.abc
import dataclasses
import datetime
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from rax.checking._files._calls import Call, Module, dotted, resolved
from rax.checking._files._configs import ConfigFile, Configs
from rax.checking._files._credentials import Credentials
from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.config import CredentialName, _schema
from rax.config._lines import lines_of
from rax.errors import RaxError

# What an annotation may be made of; all else may be anything.
_TYPES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (str, int, float, bool, list, tuple, set, frozenset, dict)},
    **{f"datetime.{kind.__name__}": kind
       for kind in (datetime.date, datetime.datetime, datetime.time)},
    **{f"collections.abc.{name}": getattr(collections.abc, name)
       for name in ("Sequence", "Mapping", "Set", "Collection", "Iterable")},
    "rax.config.CredentialName": CredentialName,
    "typing.Literal": typing.Literal,
    "typing.Optional": typing.Optional,
    "typing.Union": typing.Union,
}  # fmt: skip
UNFIT = "config-schema"
_MEANT = re.compile(r"is unknown: did you mean (\w+)")
_FIELD = "dataclasses.field"
_DATACLASS = "dataclasses.dataclass"


class Schemas:
    """The dataclasses of a repository.

    :param modules: its files of Python
    :param folders: where Python searches for modules, relative to the root: "" is the root itself
    """

    def __init__(self, modules: Mapping[str, Module], folders: tuple[str, ...]) -> None:
        self._modules = modules
        self._folders = folders
        # By file and name; None while it is made, and for what is no dataclass that can be told.
        self._made: dict[tuple[str, str], type | None] = {}

    def made(self, place: tuple[str, str]) -> type | None:
        """Return the dataclass that a file has under a name, if it can be told."""
        if place not in self._made:
            self._made[place] = None
            self._made[place] = self._make(*place)
        return self._made[place]

    def find(self, file: str, names: list[str]) -> tuple[str, str] | None:
        """Return the file of the class that a file knows by these names, and the class's name."""
        if len(names) == 1 and _class(self._modules[file].tree, names[0]) is not None:
            return file, names[0]
        whole = self._modules[file].imported.get(names[0]) if names else None
        if whole is None:
            return None
        *module, name = [*whole.split("."), *names[1:]]
        for folder in self._folders:
            path = PurePosixPath(folder, *module)
            for other in (f"{path}.py", f"{path}/__init__.py"):
                if other in self._modules and _class(self._modules[other].tree, name) is not None:
                    return other, name
        return None

    def _make(self, file: str, name: str) -> type | None:
        source = _class(self._modules[file].tree, name)
        known = self._modules[file].imported
        if source is None or source.bases or source.keywords or not _is_dataclass(source, known):
            return None
        fields: list[tuple[str, Any] | tuple[str, Any, None]] = []
        for line in source.body:
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                continue
            kind = self._kind(line.annotation, file, known)
            optional = _is_optional(line.value, known)
            if _names_any(line.annotation, "InitVar", "KW_ONLY") or optional is None:
                return None
            if not _names_any(line.annotation, "ClassVar"):
                field = line.target.id, kind
                fields.append((*field, None) if optional else field)
        return dataclasses.make_dataclass(name, fields, kw_only=True)

    def _kind(self, node: ast.expr, file: str, known: Mapping[str, str]) -> Any:
        """Return what an annotation stands for, Any where that cannot be told."""
        try:
            return self._evaluated(node, file, known)
        except (TypeError, SyntaxError, RecursionError):
            return Any

    def _evaluated(self, node: ast.expr, file: str, known: Mapping[str, str]) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._evaluated(ast.parse(node.value, mode="eval").body, file, known)
        if isinstance(node, ast.Constant):
            return node.value if node.value is None or node.value is Ellipsis else Any
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [self._evaluated(side, file, known) for side in (node.left, node.right)]
            return Any if Any in sides else typing.Union[tuple(sides)]  # noqa: UP007 - of a tuple
        if isinstance(node, ast.Subscript):
            return self._subscripted(node, file, known)
        names = dotted(node)
        if not names:
            return Any
        if (kind := _TYPES.get(resolved(node, known))) is not None:
            return kind
        place = self.find(file, names)
        return (self.made(place) if place else None) or Any

    def _subscripted(self, node: ast.Subscript, file: str, known: Mapping[str, str]) -> Any:
        kind = self._evaluated(node.value, file, known)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if kind is Any:
            return Any
        if kind is typing.Literal:
            values = tuple(one.value for one in inner if isinstance(one, ast.Constant))
            return kind[values] if len(values) == len(inner) else Any
        kinds = tuple(self._evaluated(one, file, known) for one in inner)
        # Optional takes no tuple, of one either.
        return kind[kinds] if isinstance(node.slice, ast.Tuple) else kind[kinds[0]]


def find_problems(
    project: Project,
    calls: Mapping[str, list[Call]],
    configs: Configs,
    credentials: Credentials,
    schemas: Schemas,
) -> Iterator[Finding]:
    """Yield what of a config does not fit the dataclass that a call names, at its line.

    The names of credentials that it has there and that are unknown are warnings.
    """
    seen = set()
    for file, found in calls.items():
        for call in found:
            names = dotted(call.schema) if call.schema is not None else []
            place = schemas.find(file, names)
            schema = schemas.made(place) if place else None
            config = configs.get(call.name)
            if not place or not schema or not config or (place, config.file) in seen:
                continue
            seen.add((place, config.file))
            try:
                fit = _schema.compare(schema, config.values)
            except RaxError:
                # Its types are none that a config can have, which a run will say.
                continue
            yield from _problems(config, fit.problems, schema.__name__)
            if any(map(project.is_asked, (config.file, credentials.file, place[0], file))):
                yield from _unknown(config, fit.credentials, credentials)


def _problems(config: ConfigFile, problems: list[str], schema: str) -> Iterator[Finding]:
    for problem in _distinct(problems):
        path = problem.removeprefix(_schema.KEY).partition(" ")[0]
        # What is missing is missing in what is around it.
        around = path.rpartition(".")[0]
        lines = lines_of(config.content, {path, around})
        line = lines.get(path) or (lines.get(around, 0) if around else 0)
        yield Finding(config.file, line, UNFIT, f"does not fit {schema}: {problem}")


def _unknown(
    config: ConfigFile, names: Mapping[str, str], credentials: Credentials
) -> Iterator[Finding]:
    lacking = {path: name for path, name in names.items() if credentials.lack(name)}
    places = {path: path.removeprefix(_schema.KEY) for path in lacking}
    lines = lines_of(config.content, {*places.values()})
    for path, name in lacking.items():
        # The name itself is not said: what stands there may be a password.
        line, said = lines.get(places[path], 0), f"the credential that {path} names"
        yield credentials.unknown(name, config.file, line, said)


def _distinct(problems: list[str]) -> Iterator[str]:
    """Yield problems, but for a key that is missing because it is misspelt."""
    meant = set()
    for problem in problems:
        path, _space, rest = problem.partition(" ")
        if found := _MEANT.search(rest):
            before, dot, _key = path.rpartition(".")
            meant.add(f"{before}{dot}{found[1]} is missing")
    yield from (problem for problem in problems if problem not in meant)


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """Return the class of that name, if the file has one, and one alone, at its top."""
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return found[0] if len(found) == 1 else None


def _is_dataclass(source: ast.ClassDef, known: Mapping[str, str]) -> bool:
    if len(source.decorator_list) != 1:
        return False
    decorator = source.decorator_list[0]
    made = decorator.func if isinstance(decorator, ast.Call) else decorator
    return resolved(made, known) == _DATACLASS


def _is_optional(value: ast.expr | None, known: Mapping[str, str]) -> bool | None:
    """Return whether a field may be left out, by what stands behind it; None: it does not tell."""
    if value is None:
        return False
    if not isinstance(value, ast.Call) or resolved(value.func, known) != _FIELD:
        return True
    words = {word.arg for word in value.keywords}
    if None in words or "init" in words:
        return None
    return bool(words & {"default", "default_factory"})


def _names_any(node: ast.expr, *names: str) -> bool:
    """Return whether an annotation has one of these names in it, however it is written."""
    text = ast.unparse(node)
    return any(name in text for name in names)
