# SPDX-License-Identifier: Apache-2.0
"""Two tables beside each other: columns, rows and cells; the order of rows does not count."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from rax.testing._judging._csv import Cell, Row, Table
from rax.testing._judging._pairs import Paired, key, pair
from rax.testing._judging._texts import MAX_LINES, bounded, cell, change, cut, names

_MAX_CELLS = 6


def differing(expected: Table, found: Table) -> list[str]:
    """Return what differs: first in a line, then column by column and cell by cell."""
    told, expected, found = _columns(expected, found)
    if not expected.columns:
        return told
    rows = _Rows(expected, found)
    return [*told, *rows.lines()]


def has_doubled(expected: Table, found: Table) -> bool:
    """Return whether rows were added once more, in a table that should have them once.

    Columns that count or tell the time may keep the rows from being equal.
    """
    before, now = Counter(expected.rows), Counter(found.rows)
    if any(now[row] > times for row, times in before.items()):
        return True
    return bool(expected.rows) and len(found.rows) == 2 * len(expected.rows)


class _Rows:
    def __init__(self, expected: Table, found: Table) -> None:
        self._columns = expected.columns
        self._all = expected.rows
        before, now = Counter(expected.rows), Counter(found.rows)
        lost, new = before - now, now - before
        # How often a row is there that is there otherwise, but not as often.
        self._times = {
            row: (before[row], now[row]) for row in lost | new if before[row] and now[row]
        }
        alone = len(expected.rows) == len(found.rows) == 1
        missing, additional = (
            [row for row in one.elements() if row not in self._times] for one in (lost, new)
        )
        self._paired: Paired = pair(missing, additional, alone=alone)
        self._key = key(self._all, self._paired.changed)
        self._found = len(found.rows)

    def lines(self) -> list[str]:
        changed, missing, additional = self._paired
        told = []
        if len(self._all) != self._found:
            told.append(f"{_rows(len(self._all))} → {_rows(self._found)}")
        if changed:
            columns = {
                index
                for before, after in changed
                for index, pair in enumerate(zip(before, after, strict=True))
                if pair[0] != pair[1]
            }
            where = names([self._columns[index] for index in sorted(columns)])
            told.append(f"{_rows(len(changed))} changed in {where}")
        if missing:
            told.append(f"{_rows(len(missing))} missing")
        if additional:
            told.append(f"{_rows(len(additional))} too many")
        if self._times:
            told.append(f"{_rows(len(self._times))} not as often as expected")
        if not told:
            return []
        number = len(changed) + len(self._times) + len(missing) + len(additional)
        # What is not shown need not be made.
        shown = list(islice(self._details(), MAX_LINES))
        more = [f"and {number - len(shown):,} more"] if number > len(shown) else []
        return ["; ".join(told), *shown, *more]

    def _details(self) -> Iterator[str]:
        changed, missing, additional = self._paired
        for before, after in changed:
            cells = [
                f"{name} {change(cell(one), cell(other))}"
                for name, one, other in zip(self._columns, before, after, strict=True)
                if one != other
            ]
            yield f"{self._label(before)}: {', '.join(bounded(cells, _MAX_CELLS))}"
        for row, (before_times, now_times) in self._times.items():
            yield f"{self._shown(row)}: {before_times} × → {now_times} ×"
        for row in missing:
            yield f"missing: {self._shown(row)}"
        for row in additional:
            yield f"too many: {self._shown(row)}"

    def _label(self, row: Row) -> str:
        if len(self._all) == 1:
            return "the row"
        if not self._key:
            return f"row {self._all.index(row) + 1}"
        return ", ".join(_cell(self._columns[index], row[index]) for index in self._key)

    def _shown(self, row: Row) -> str:
        """Return a row with the columns that tell it from others first."""
        order = [*self._key, *(index for index in range(len(row)) if index not in self._key)]
        return ", ".join(
            bounded([_cell(self._columns[index], row[index]) for index in order], _MAX_CELLS)
        )


def _columns(expected: Table, found: Table) -> tuple[list[str], Table, Table]:
    """Say how the columns differ, and return both tables with those that they share."""
    if expected.columns == found.columns:
        return [], expected, found
    missing = [name for name in expected.columns if name not in found.columns]
    added = [name for name in found.columns if name not in expected.columns]
    renamed = {}
    for name in missing:
        if other := _same_column(name, added, expected, found):
            renamed[name] = other
            added.remove(other)
    told = [f"column {name} is called {other}" for name, other in renamed.items()]
    told += [f"column {name} is missing" for name in missing if name not in renamed]
    told += [f"column {name} is not expected" for name in added]
    if not told:
        told = [f"the columns are in another order: {', '.join(found.columns)}"]
    shared = [name for name in expected.columns if name not in missing or name in renamed]
    return (
        told if len(told) == 1 else [f"{len(told)} columns differ", *bounded(told)],
        _projected(expected, shared, shared),
        _projected(found, [renamed.get(name, name) for name in shared], shared),
    )


def _same_column(name: str, others: list[str], expected: Table, found: Table) -> str | None:
    """Return the column that holds what this one should."""
    wanted = Counter(_values(expected, name))
    return next((other for other in others if Counter(_values(found, other)) == wanted), None)


def _values(table: Table, name: str) -> list[Cell]:
    index = table.columns.index(name)
    return [row[index] for row in table.rows]


def _projected(table: Table, names: list[str], called: list[str]) -> Table:
    indexes = [table.columns.index(name) for name in names]
    return Table(tuple(called), [tuple(row[index] for index in indexes) for row in table.rows])


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"


def _cell(name: str, value: Cell) -> str:
    return f"{name}={cut(cell(value))}"
