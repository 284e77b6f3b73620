# SPDX-License-Identifier: Apache-2.0
"""Where in the file of a config a value is."""

from collections.abc import Collection, Iterator
from typing import Any

import yaml

from rax.config import _yaml


def lines_of(content: bytes, paths: Collection[str]) -> dict[str, int]:
    """Return the lines, from 1, of the values that these paths lead to, as ``db.tables[0].name``.

    :param content: a file that the strict loader takes
    :param paths: as find_secrets() returns them; what is not there is left out

    >>> lines_of(b"db:\\n  tables:\\n  - flights\\n", ["db.tables[0]"])
    {'db.tables[0]': 3}
    """
    lines: dict[str, int] = {}
    seen: set[tuple[int, str]] = set()
    waiting: list[tuple[Any, Any, str]] = [(None, _yaml.composed(content), "")]
    while waiting:
        key, node, path = waiting.pop()
        if (id(node), path) in seen:
            continue
        seen.add((id(node), path))
        if path in paths:
            # Of a value that an alias brings, the line that brings it is meant.
            lines.setdefault(path, (key or node).start_mark.line + 1)
        # Aliases may stand for more than can be walked: only the way to what is asked for is.
        if any(asked.startswith(path) for asked in paths):
            waiting += _inside(node, path)
    return lines


def _inside(node: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style:
                yield from ((key, source, path) for source in _sources(value))
            elif isinstance(key, yaml.ScalarNode):
                yield key, value, f"{path}.{key.value}".lstrip(".")
    elif isinstance(node, yaml.SequenceNode):
        yield from ((None, item, f"{path}[{index}]") for index, item in enumerate(node.value))


def _sources(node: Any) -> list[Any]:
    return node.value if isinstance(node, yaml.SequenceNode) else [node]
