# SPDX-License-Identifier: Apache-2.0
"""YAML 1.1 as PyYAML loads it safely, without what is more often a mistake than meant."""

import datetime
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from rax.errors import MalformedConfigError

# The loader in C is seven times as fast; PyYAML lacks it where it was built without libyaml.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MERGE, _VALUE = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"
_MAX_DEPTH = 100
_MAX_VALUES = 1_000_000
# libyaml's loader recurses without a limit, and ends the process some 50,000 levels down. A level
# takes a bracket, or a further column of a line: with few of both, no file is that deep.
_MIN_SUSPICIOUS_COUNT = 1000


class _Loader(_SafeLoader):  # type: ignore[misc]  # which of the two is known at run time
    """A safe loader that refuses keys that occur twice, and keys that JSON cannot have."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._checked: set[int] = set()

    def flatten_mapping(self, node: Any) -> None:
        """Check a mapping before ``<<`` brings in keys that may rightly occur twice.

        Of equal keys the last one counts, in the place of the first. The others are removed: they
        would multiply with each merge of merges.
        """
        if id(node) in self._checked:
            return
        self._checked.add(id(node))
        self._check_keys(node)
        super().flatten_mapping(node)
        node.value = [*{self.construct_object(pair[0]): pair for pair in node.value}.values()]

    def _check_keys(self, node: Any) -> None:
        lines: dict[Hashable, int] = {}
        for key_node, _value in node.value:
            if key_node.tag == _MERGE:
                continue
            mark = key_node.start_mark
            if not isinstance(key_node, yaml.ScalarNode):
                raise _problem("a key is a text or a whole number", mark)
            key = key_node.value
            if key_node.tag != _VALUE:
                key = self.construct_object(key_node, deep=True)
            # A bool is an int to isinstance.
            kind = type(key)
            if kind not in (str, int):
                raise _problem(
                    f"a key is read as {_kind(key)}: quote it, to make a text of it", mark
                )
            if key in lines:
                raise _problem(f"the key {key!r} is there twice, first in line {lines[key]}", mark)
            lines[key] = mark.line + 1


def load(content: bytes, path: object) -> dict[str, Any]:
    """Return the mapping in a file's content.

    Keys are texts and whole numbers: ``no: 1`` has neither, but false. Raises MalformedConfigError
    with path and line.
    """
    line, problem = None, ""
    try:
        _check_depth(content)
        document = yaml.load(content, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.reader.ReaderError as error:
        line = content[: error.position].count(b"\n")
        problem = f"has a character that YAML does not take: {error.reason}"
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else None
        problem = _indented_by_tab(content, line) or _expected(error)
    except (yaml.YAMLError, RecursionError) as error:
        problem = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
    except Exception:
        # int(), datetime and dict raise errors of their own for scalars that only look like theirs.
        line, problem = (
            _unreadable_scalar(content),
            "holds what is not a value of its type: quote it",
        )
    if problem:
        where = path if line is None else f"{path}:{line + 1}"
        raise MalformedConfigError(f"{where}: {problem}")
    if not isinstance(document, dict):
        found = "nothing" if document is None else _kind(document)
        raise MalformedConfigError(f"{path}: holds {found}, where 'key: value' lines are expected")
    _check_size(document, path)
    return document


def _problem(text: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, mark)


def _expected(error: yaml.MarkedYAMLError) -> str:
    if error.context == "expected a single document in the stream":
        return "has more than one document (---)"
    return str(error.problem or error.context)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, datetime.date):
        return "a date"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def _indented_by_tab(content: bytes, line: int | None) -> str:
    lines = content.splitlines()
    if line is None or line >= len(lines):
        return ""
    indentation = lines[line][: len(lines[line]) - len(lines[line].lstrip())]
    return "is indented by a tab, where YAML takes spaces" if b"\t" in indentation else ""


def _check_depth(content: bytes) -> None:
    brackets = content.count(b"[") + content.count(b"{")
    longest = max(map(len, content.splitlines()), default=0)
    if brackets < _MIN_SUSPICIOUS_COUNT and longest < _MIN_SUSPICIOUS_COUNT:
        return
    depth = 0
    for event in yaml.parse(content, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise _problem("is nested too deeply", event.start_mark)


def _unreadable_scalar(content: bytes) -> int | None:
    """Return the line of the first scalar that cannot be constructed."""
    loader = _Loader(content)
    try:
        for node in _scalars(loader.get_single_node()):
            try:
                loader.construct_object(node)
            except Exception:
                return int(node.start_mark.line)
    finally:
        loader.dispose()
    return None


def _scalars(root: Any) -> Iterator[Any]:
    """Yield each scalar once, in order: aliases may lead back, or to the same node many times."""
    left, seen = [root], set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            left.extend(part for pair in reversed(node.value) for part in reversed(pair))
        else:
            left.extend(reversed(node.value))


def _check_size(document: Any, path: object) -> None:
    """Refuse a document that aliases make too large, too deep or part of itself."""
    left, values = [(document, 1)], 0
    while left:
        value, depth = left.pop()
        if isinstance(value, dict):
            items: Any = value.values()
        elif isinstance(value, list | tuple):
            items = value
        else:
            continue
        values += len(value)
        if depth > _MAX_DEPTH or values > _MAX_VALUES:
            what = f"holds more than {_MAX_VALUES:,} values"
            if depth > _MAX_DEPTH:
                what = f"is nested more than {_MAX_DEPTH} deep, or contains itself"
            raise MalformedConfigError(f"{path}: {what}")
        left.extend((item, depth + 1) for item in items if isinstance(item, dict | list | tuple))
