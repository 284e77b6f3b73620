# SPDX-License-Identifier: Apache-2.0
"""Values and lists of them, as a difference shows them: short, and each told apart from another."""

import json
from collections.abc import Sequence
from typing import Any

from rax._printable import one_line, printable

# Of one difference, below its first line.
MAX_LINES = 12
_MAX_VALUE_CHARACTERS = 60
# What stays before the place where two long texts part.
_KEPT_CHARACTERS = 15


def change(expected: str, found: str) -> str:
    """Return what was expected and what was found, each already as it is shown.

    >>> change("4", "8")
    '4 → 8'
    >>> change("a" * 100 + "b", "a" * 100 + "c")
    '…aaaaaaaaaaaaaaab → …aaaaaaaaaaaaaaac'
    """
    at = 0
    if max(len(expected), len(found)) > _MAX_VALUE_CHARACTERS:
        while expected[at : at + 1] == found[at : at + 1] != "":
            at += 1
        at = max(0, at - _KEPT_CHARACTERS)
    before = "…" if at else ""
    pair = (f"{before}{cut(text[at:])}" for text in (expected, found))
    return " → ".join(pair)


def cut(text: str) -> str:
    """Return a text, or as much of it as is shown."""
    if len(text) <= _MAX_VALUE_CHARACTERS:
        return text
    return f"{text[: _MAX_VALUE_CHARACTERS - 1]}…"


def cell(value: str | None) -> str:
    """Return a cell of a table so that NULL, '' and the text NULL are told apart.

    >>> [cell(value) for value in (None, "", "NULL", " a", "a", "a'b")]
    ['NULL', "''", "'NULL'", "' a'", 'a', "a'b"]
    """
    if value is None:
        return "NULL"
    shown = printable(value)
    bare = value and value == value.strip() and value.upper() != "NULL" and value[0] != "'"
    return shown if bare else f"'{shown}'"


def value(found: Any) -> str:
    """Return a value that a task returned, as YAML in one line may have it.

    >>> value({"rows": 4, "note": None})
    '{"rows": 4, "note": null}'
    """
    try:
        return one_line(json.dumps(found, ensure_ascii=False, default=str))
    except (TypeError, ValueError):
        return one_line(repr(found))


def bounded(lines: Sequence[str], most: int = MAX_LINES) -> list[str]:
    """Return the first lines, and how many are left out.

    >>> bounded(["a", "b", "c"], 2)
    ['a', 'b', 'and 1 more']
    """
    more = [f"and {len(lines) - most:,} more"] if len(lines) > most else []
    return [*lines[:most], *more]


def names(found: Sequence[str]) -> str:
    """Return names in a sentence.

    >>> names(["a"]), names(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    shown = bounded(found, 5)
    if len(shown) > len(found[:5]):
        return ", ".join(shown)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
