# SPDX-License-Identifier: Apache-2.0
"""The file of a spec as values that know where they are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rax.config import _yaml
from rax.config._yaml_hints import HINT_OF_SCHEMA
from rax.testing._model import Place
from rax.testing._specs._mistakes import Mistake

# YAML ends a key that is not in a line of its own after so many characters.
_MAX_KEY_CHARACTERS = 1024
_INDEXED_KEY = re.compile(r"(?<![\w.\"'-])([\w.-]+\[(?:[0-9]+|\*)\])")

# The keys and indexes that lead to a value.
Steps = tuple[str | int, ...]


class Document:
    """What a spec holds, where each value of it is, and what is wrong with it so far."""

    def __init__(self, file: Path, name: str, content: bytes) -> None:
        self.file = file
        self.values, problems = _yaml.read(content)
        self.mistakes: list[Mistake] = []
        self._name = name
        self._refused_lines = {problem.line for problem in problems}
        lines = content.decode(errors="replace").splitlines()
        for problem in problems:
            text = problem.text if self.values else _hint(problem, lines) or problem.text
            # The schema of a config is none of a spec's.
            text = text.removesuffix(HINT_OF_SCHEMA)
            self.mistakes.append(Mistake(Place(name, problem.line or 1), text))
        # Of what is no YAML, or too much of it, there is no more to say.
        self.is_whole = not problems or bool(self.values and None not in self._refused_lines)
        self._top = _yaml.composed(content) if self.is_whole else None
        self._entries: dict[int, dict[str, tuple[Any, Any]]] = {}

    def place(self, steps: Steps) -> Place:
        """Return where a value is: the line of its key, or of the item; or of what it is in."""
        node, line = self._top, 1
        for step in steps:
            found = self._step(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return Place(self._name, line)

    def refuse(self, steps: Steps, text: str) -> None:
        """Note a mistake, unless the strict loader has refused a word of that line."""
        place = self.place(steps)
        if None not in steps and place.line not in self._refused_lines:
            self.mistakes.append(Mistake(place, text))

    def _step(self, node: Any, step: str | int) -> tuple[Any, Any] | None:
        if isinstance(node, yaml.SequenceNode):
            item = node.value[step] if isinstance(step, int) and step < len(node.value) else None
            return None if item is None else (item, item)
        if not isinstance(node, yaml.MappingNode):
            return None
        if id(node) not in self._entries:
            self._entries[id(node)] = dict(_entries(node))
        return self._entries[id(node)].get(str(step))


class Value(NamedTuple):
    """A value of a spec that knows where it is."""

    document: Document
    steps: Steps
    content: Any

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.document.place(self.steps)

    def refuse(self, text: str) -> None:
        """Note a mistake in it."""
        self.document.refuse(self.steps, text)

    def get(self, key: str) -> "Value | None":
        """Return the value of a key; None where there is no such key."""
        return self._inside(key) if key in self.content else None

    def items(self, key: str | None = None) -> Iterator[tuple[Any, "Value"]]:
        """Yield what a mapping or a list has, or that below one of its keys, if it is there."""
        if key is not None:
            inner = self.get(key)
            yield from inner.items() if inner else ()
        elif isinstance(self.content, dict):
            yield from ((key, self._inside(key)) for key in self.content)
        else:
            yield from ((index, self._inside(index)) for index in range(len(self.content)))

    def _inside(self, step: str | int) -> "Value":
        return Value(self.document, (*self.steps, step), self.content[step])


def _entries(node: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield keys with their nodes, so that of equal ones the last is what counts."""
    own = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == "<<" and not key.style:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):
                yield from _entries(source)
        else:
            own.append((key.value, (key, value)))
    yield from own


def _hint(problem: _yaml.Problem, lines: list[str]) -> str:
    """Say what is meant where keys of a spec are no keys of YAML; nothing where that is not it."""
    line = lines[problem.line - 1] if problem.line and problem.line <= len(lines) else ""
    if problem.text.startswith("did not find") and (found := _INDEXED_KEY.search(line)):
        return (
            f"{found[1]} is no key and no text inside {{ }} and [ ]: "
            f'quote it, "{found[1]}", or write it as a key in a line of its own'
        )
    if len(line) > _MAX_KEY_CHARACTERS and "key" in problem.text:
        return (
            f"a key of more than {_MAX_KEY_CHARACTERS:,} characters is written in lines of its "
            "own: '? |', the SQL further right, and ': golden.csv' below the ?"
        )
    return ""
