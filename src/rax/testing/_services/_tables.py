# SPDX-License-Identifier: Apache-2.0
"""Tables as PostgreSQL's COPY … CSV HEADER writes them, the rows in the order of their bytes."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

MAX_TABLE_BYTES = 16 * 2**20
MAX_QUERY_SECONDS = 60
TOO_LARGE = f"the query gives more than {MAX_TABLE_BYTES // 2**20} MiB"

# What has to be in quotes: an empty text, since NULL is nothing, and what ends a cell or a table.
_QUOTED = re.compile(r'|\\\.|.*[",\r\n].*', re.DOTALL)


def sort_rows(table: bytes) -> bytes:
    r"""Return the table with its rows sorted; the header stays the first.

    >>> sort_rows(b'name\nb\n"a\nc"\n')
    b'name\n"a\nc"\nb\n'
    """
    header, *rows = _rows(table)
    return b"".join([header, *sorted(rows)])


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    r"""Yield the lines of a table.

    >>> print(*to_csv(["a", "b"], [[None, ""], [1.5, "a,b"], [bytes([1]), "x"]]), sep="", end="")
    a,b
    ,""
    1.5,"a,b"
    \x01,x
    """
    for row in itertools.chain([header], rows):
        yield ",".join(map(_cell, row)) + "\n"


def query_of(sql: str) -> str:
    """Return a query without the semicolon at its end.

    >>> query_of("SELECT 1 ; ")
    'SELECT 1'
    """
    return sql.strip().rstrip(";").rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.fullmatch(text) else text


def _rows(table: bytes) -> Iterator[bytes]:
    row = b""
    for line in table.splitlines(keepends=True):
        row += line
        # Within a cell in quotes, a line feed ends no row, and each quote is doubled.
        if row.count(b'"') % 2 == 0:
            yield row
            row = b""
    if row:
        yield row
