# SPDX-License-Identifier: Apache-2.0
"""CSV as PostgreSQL's COPY writes it: NULL has nothing where an empty text has quotes.

Python's module csv reads both as the same.
"""

import re
from typing import NamedTuple

# One cell; NULL is None.
Cell = str | None
Row = tuple[Cell, ...]

_CELL = re.compile(r'"([^"]*(?:""[^"]*)*)"|([^",\r\n]*)')
_END = re.compile(r"\r?\n|\Z")


class FormError(Exception):
    """It is no table; the text says where and why."""


class Table(NamedTuple):
    """A table: the names of its columns, each once, and its rows."""

    columns: tuple[str, ...]
    rows: list[Row]


def read(content: bytes) -> Table:
    """Read a table.

    :raises FormError: it is none
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FormError(f"line {line} is not UTF-8") from None
    records = _records(text)
    if not records:
        raise FormError("it is empty, without the names of columns")
    header = records[0][1]
    rows = []
    for line, cells in records[1:]:
        # A NULL of a table with one column is an empty line; in others it is no row.
        if len(cells) == len(header):
            rows.append(cells)
        elif cells != (None,):
            raise FormError(f"line {line} has {len(cells)} cells, and the first {len(header)}")
    return Table(_names(header), rows)


def count_rows(content: bytes) -> int:
    """Return how many rows a table has.

    :raises FormError: it is none
    """
    if b'"' in content or b"\n\n" in content:
        return len(read(content).rows)
    return max(0, len(content.splitlines()) - 1)


def _records(text: str) -> list[tuple[int, Row]]:
    """Return the rows with their lines, from 1."""
    found: list[tuple[int, Row]] = []
    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        plain = text[at:end]
        if '"' in plain:
            cells, end = _quoted(text, at, line)
        else:
            cells = tuple(cell or None for cell in plain.removesuffix("\r").split(","))
            end += 1
        found.append((line, cells))
        line += text.count("\n", at, end)
        at = end
    return found


def _quoted(text: str, at: int, line: int) -> tuple[Row, int]:
    """Return the row that begins there, and where the next one does."""
    cells: list[Cell] = []
    while match := _CELL.match(text, at):
        quoted, plain = match.groups()
        cells.append(plain or None if quoted is None else quoted.replace('""', '"'))
        at = match.end()
        if text[at : at + 1] == ",":
            at += 1
        elif ended := _END.match(text, at):
            return tuple(cells), ended.end()
        else:
            break
    raise FormError(f"line {line} has a quote in the middle of a cell, or one that is not closed")


def _names(header: Row) -> tuple[str, ...]:
    """Return the names of columns, those that are there twice with their number."""
    seen: dict[str, int] = {}
    found = []
    for name in (one or "" for one in header):
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)
