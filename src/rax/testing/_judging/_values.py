# SPDX-License-Identifier: Apache-2.0
"""What a task returned, or what an event has, beside what was expected: key by key."""

import datetime
import math
from collections.abc import Iterator, Mapping
from typing import Any

from rax.config._files import near
from rax.testing._judging._texts import change, value


def differing(expected: Any, found: Any, *, exact: bool = False) -> list[str]:
    """Return a line for each value that is not as expected, with the path to it.

    Of a mapping those keys that are expected count, at each level; a list is compared as a whole.

    :param exact: whether further keys of a mapping are differences, too

    >>> differing({"rows": 4, "by": {"a": 1}}, {"rows": 5, "by": {"a": 1}, "host": "x"})
    ['rows: 4 → 5']
    """
    return [_line(path, text) for path, text in _differing(expected, _plain(found), "", exact)]


def _differing(expected: Any, found: Any, path: str, exact: bool) -> Iterator[tuple[str, str]]:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key, item in expected.items():
            below = f"{path}.{key}" if path else f"{key}"
            if key in found:
                yield from _differing(item, found[key], below, exact)
            else:
                yield below, f"is missing{near(str(key), map(str, found))}"
        if exact:
            for key in found:
                if key not in expected:
                    yield f"{path}.{key}" if path else f"{key}", "is not expected"
    elif isinstance(expected, list | tuple) and isinstance(found, list):
        if len(expected) != len(found):
            yield path, f"{_items(len(expected))} → {_items(len(found))}"
        for index, (item, other) in enumerate(zip(expected, found, strict=False)):
            yield from _differing(item, other, f"{path}[{index}]", exact)
    elif not _is_same(expected, found):
        yield path, change(value(expected), value(found))


def _is_same(expected: Any, found: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float) and math.isnan(expected):
        return math.isnan(found)
    # True is 1 to Python.
    if isinstance(expected, bool) is not isinstance(found, bool):
        return False
    return bool(_plain(expected) == found)


def _plain(found: Any) -> Any:
    """Return a value as a file of YAML has it: a time is a text, and a tuple a list."""
    if isinstance(found, Mapping):
        return {key: _plain(item) for key, item in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(item) for item in found]
    if isinstance(found, datetime.datetime | datetime.date | datetime.time):
        return found.isoformat()
    return found


def _items(number: int) -> str:
    return f"{number} item{'s' * (number != 1)}"


def _line(path: str, text: str) -> str:
    if not path:
        return text
    return f"{path} {text}" if text.startswith("is ") else f"{path}: {text}"
