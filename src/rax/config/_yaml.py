# SPDX-License-Identifier: Apache-2.0
"""YAML that every reader reads alike: what one of them could take for something else is refused."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from rax.config import _yaml_hints
from rax.config._plain_words import Kind, kind_of, surprise, value_of
from rax.config._secrets import is_secret_setting
from rax.errors import MalformedConfigError

# The loader in C is seven times as fast; PyYAML lacks it where it was built without libyaml.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MAX_DEPTH = 100
_MAX_VALUES = 1_000_000
# An error names so many problems of a file, find_problems() all.
_MAX_PROBLEMS = 10
# libyaml's loader recurses without a limit, and ends the process some 50,000 levels down. A level
# takes a bracket, or a further column of a line: with few of both, no file is that deep.
_MIN_SUSPICIOUS_COUNT = 1000

# The steps to a value, the last one first.
_Path = tuple[Any, "_Path"] | None


class Problem(NamedTuple):
    """What is wrong with a file, and in which line, from 1; None where that is not known."""

    line: int | None
    text: str


class _Composer(_SafeLoader):  # type: ignore[misc]  # which of the two is known at run time
    """Composes nodes whose tag is a Kind, unless the file itself gives them one."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Say what a node without a tag is; `implicit` says whether a scalar has no quotes."""
        if kind is not yaml.ScalarNode:
            return super().resolve(kind, value, implicit)
        return kind_of(value) if implicit[0] else Kind.TEXT


def load(content: bytes, path: object) -> dict[str, Any]:
    """Return the mapping in a file's content; its keys are texts and whole numbers.

    Raises MalformedConfigError with path, and line where it is known: `a.yaml:3: zip is read as …`.
    """
    document, problems = read(content)
    if problems:
        first, *others = problems
        texts = [_located(path, first)]
        texts += [f"line {line}: {text}" for line, text in others[: _MAX_PROBLEMS - 1]]
        if len(others) >= _MAX_PROBLEMS:
            texts.append(f"and {len(others) - _MAX_PROBLEMS + 1} more")
        raise MalformedConfigError("; ".join(texts))
    return document


def find_problems(content: bytes, path: object) -> list[str]:
    """Return all that load() would refuse a file's content for, each with path and line."""
    return [_located(path, problem) for problem in read(content)[1]]


def _located(path: object, problem: Problem) -> str:
    where = path if problem.line is None else f"{path}:{problem.line}"
    return f"{where}: {problem.text}"


def read(content: bytes) -> tuple[dict[str, Any], list[Problem]]:
    """Return the mapping of a file, and what is wrong with it: a syntax error hides all else."""
    try:
        if (deep := _too_deep(content)) is not None:
            return {}, [deep]
        root = composed(content)
    except yaml.reader.ReaderError as error:
        before = content[: error.position].count(b"\n")
        text = f"has a character that YAML does not take: {error.reason}"
        return {}, [Problem(before + 1, text)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        return {}, [Problem(line, _yaml_hints.explain(error, content))]
    except yaml.YAMLError as error:
        return {}, [Problem(None, str(error))]
    except RecursionError:
        return {}, [Problem(None, "is nested too deeply")]
    builder = _Builder(content)
    document = None if root is None else builder.build(root, None)
    problems = builder.problems
    if not problems and not isinstance(document, dict):
        found = "nothing" if document is None else _yaml_hints.shown(document)
        problems = [Problem(None, f"holds {found}, where 'key: value' lines are expected")]
    if not problems and (size := _size_problem(document)):
        problems = [Problem(None, size)]
    return document if isinstance(document, dict) else {}, problems


def composed(content: bytes) -> Any:
    """Return the nodes of a file that is YAML; None for an empty one."""
    loader = _Composer(content)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Builder:
    """Makes values of nodes, and notes what is wrong with them in the order of the file."""

    def __init__(self, content: bytes) -> None:
        self.problems: list[Problem] = []
        self._content = content
        # What an alias refers to is built once, and is part of the value that contains itself.
        self._built: dict[int, Any] = {}

    def build(self, node: Any, path: _Path, depth: int = 1) -> Any:
        """Return the value of a node; None in the place of what is wrong."""
        if id(node) in self._built:
            return self._built[id(node)]
        if isinstance(node, yaml.ScalarNode):
            self._built[id(node)] = value = self._scalar(node, path)
            return value
        if node.tag not in (yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG,
                            yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG):  # fmt: skip
            return self._refuse(node, f"{_named(path)}has {_yaml_hints.tag(node)}")
        if depth > _MAX_DEPTH:
            return self._refuse(node, f"is nested more than {_MAX_DEPTH} deep")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        items: list[Any] = []
        self._built[id(node)] = items
        items += [
            self.build(item, (index, path), depth + 1) for index, item in enumerate(node.value)
        ]
        return items

    def _scalar(self, node: Any, path: _Path) -> Any:
        if not isinstance(node.tag, Kind):
            return self._refuse(node, f"{_named(path)}has {_yaml_hints.tag(node)}")
        # Quotes, and the signs | and >, say that it is a text.
        if node.style:
            return node.value
        if not node.value and _yaml_hints.is_cut_by_a_sign(self._content, node.start_mark):
            return self._refuse(
                node, f"{_named(path)}is empty, since # begins a comment: quote it, or write null"
            )
        found = surprise(node.value) if node.tag is Kind.TEXT else None
        if found is None:
            return value_of(node.value)
        meaning, advice = found.meaning, _yaml_hints.quotes(node.value, found)
        if any(isinstance(step, str) and is_secret_setting(step) for step in _steps(path)):
            # The word may be a password, and a message is no place for one.
            meaning, advice = "something else than its text", "quote it"
        return self._refuse(node, f"{_named(path)}is read as {meaning}: {advice}")

    def _mapping(self, node: Any, path: _Path, depth: int) -> dict[Any, Any]:
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        mapping: dict[Any, Any] = {}
        self._built[id(node)] = mapping
        lines: dict[Any, int] = {}
        for key_node, value_node in node.value:
            merges = _is_merge(key_node)
            key = "<<" if merges else self._key(key_node, path)
            if key in lines and key is not None:
                text = f"the key {key!r} is there twice, first in line {lines[key]}"
                self._refuse(key_node, text)
            lines[key] = key_node.start_mark.line + 1
            if merges:
                merged = self._merged(value_node, (key, path), depth)
            else:
                own[key] = self.build(value_node, (key, path), depth + 1)
        # Of equal keys, that of the mapping itself counts, in the place of the merged one.
        mapping |= merged | own
        return mapping

    def _key(self, node: Any, path: _Path) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._refuse(node, _yaml_hints.no_key(node))
        if not isinstance(node.tag, Kind):
            return self._refuse(node, f"a key has {_yaml_hints.tag(node)}")
        if node.style:
            return node.value
        if node.tag is Kind.INT:
            return int(node.value)
        found = surprise(node.value)
        if found is None:
            return node.value
        where = f" of {_shown_path(path)}" if path else ""
        return self._refuse(
            node, f'a key{where} is read as {found.meaning}: quote it, "{node.value}"'
        )

    def _merged(self, node: Any, path: _Path, depth: int) -> dict[Any, Any]:
        """Return what << brings in; of equal keys in several mappings, the first one counts."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(source, yaml.MappingNode) for source in sources):
            self._refuse(node, "<< takes a mapping, such as *name, or a list of these")
            return {}
        found: dict[Any, Any] = {}
        for source in reversed(sources):
            found.update(self.build(source, path, depth + 1) or {})
        return found

    def _refuse(self, node: Any, text: str) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, text))


def _is_merge(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value == "<<"


def _steps(path: _Path) -> Iterator[Any]:
    while path is not None:
        step, path = path
        yield step


def _shown_path(path: _Path) -> str:
    """Return a path as in `steps[0].name`."""
    text = ""
    for step in reversed([*_steps(path)]):
        text += f"[{step}]" if isinstance(step, int) and text else f".{step}" if text else str(step)
    return text


def _named(path: _Path) -> str:
    return f"{_shown_path(path)} " if path else ""


def _too_deep(content: bytes) -> Problem | None:
    brackets = content.count(b"[") + content.count(b"{")
    longest = max(map(len, content.splitlines()), default=0)
    if brackets < _MIN_SUSPICIOUS_COUNT and longest < _MIN_SUSPICIOUS_COUNT:
        return None
    depth = 0
    for event in yaml.parse(content, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            mark: Any = event.start_mark
            return Problem(mark.line + 1, "is nested too deeply")
    return None


def _size_problem(document: Any) -> str | None:
    """Say why a document is refused that aliases make too large, too deep or part of itself."""
    left, values = [(document, 1)], 0
    while left:
        value, depth = left.pop()
        items: Any = value.values() if isinstance(value, dict) else value
        values += len(value)
        if depth > _MAX_DEPTH:
            return f"is nested more than {_MAX_DEPTH} deep, or contains itself"
        if values > _MAX_VALUES:
            return f"holds more than {_MAX_VALUES:,} values"
        left.extend((item, depth + 1) for item in items if isinstance(item, dict | list))
    return None
