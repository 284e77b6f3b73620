# SPDX-License-Identifier: Apache-2.0
"""Texts as people read them in a terminal or a log: cut, aligned in tables, times in words."""

import unicodedata
from collections.abc import Sequence

from rax._printable import printable

# Columns are not cut further than this.
_MIN_COLUMN_WIDTH = 8
_GAP = "  "
# Colours, as a terminal numbers them.
BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
# Takes away the line that the cursor is in.
ERASED = "\x1b[K"


def painted(colour: str, text: str) -> str:
    """Return a text, made printable before, in a colour of the terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def width(text: str) -> int:
    """Return how many columns of a terminal the text takes.

    >>> width("abc"), width("日本")
    (3, 4)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def cut(text: str, columns: int) -> str:
    """Return the text, or as much of it as that many columns hold.

    >>> cut("abcdef", 4), cut("abcd", 4)
    ('abc…', 'abcd')
    """
    if width(text) <= columns:
        return text
    end = min(len(text), columns)
    while end and width(text[:end]) >= columns:
        end -= 1
    return f"{text[:end]}…"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None = None) -> str:
    """Return an aligned table, cut to that many columns of the terminal unless it is None.

    The widest column is cut first, since narrow ones mostly hold names and numbers. An empty header
    is left out.

    >>> print(table(("name", "state"), [("EBI-ETL-DEV-01", "current")]), end="")
    NAME            STATE
    EBI-ETL-DEV-01  current
    >>> print(table(("name", "state"), [("EBI-ETL-DEV-01", "current")], 20), end="")
    NAME         STATE
    EBI-ETL-DE…  current
    """
    lines = [[name.upper() for name in header]] * any(header)
    lines += [[printable(cell) for cell in row] for row in rows]
    widths = [max(width(line[index]) for line in lines) for index in range(len(header))]
    if columns is not None:
        spare = columns - len(_GAP) * (len(widths) - 1)
        while sum(widths) > spare and max(widths) > _MIN_COLUMN_WIDTH:
            widths[widths.index(max(widths))] -= 1
    text = ""
    for line in lines:
        cells = [cut(cell, limit) for cell, limit in zip(line, widths, strict=True)]
        spaces = [" " * (limit - width(cell)) for cell, limit in zip(cells, widths, strict=True)]
        text += _GAP.join(map("".join, zip(cells, spaces, strict=True))).rstrip() + "\n"
    return text


def span(seconds: float) -> str:
    """Return a time in its two largest units, for a person.

    >>> span(59.9), span(43200), span(43201), span(93600)
    ('59 s', '12 h', '12 h 1 s', '1 d 2 h')
    """
    left, parts = int(seconds), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def duration(seconds: float | None) -> str:
    """Return a time as span() does, or a dash where it is not known.

    >>> duration(3700), duration(None)
    ('1 h 1 min', '-')
    """
    return "-" if seconds is None else span(seconds)
