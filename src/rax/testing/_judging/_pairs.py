# SPDX-License-Identifier: Apache-2.0
"""Rows that were changed: which of the missing ones has become which of the additional ones."""

from collections import defaultdict
from itertools import combinations
from typing import NamedTuple

from rax.testing._judging._csv import Row

# More are not told one by one anyway.
_MAX_ROWS = 5_000
# Comparing each row with each other one.
_MAX_COMPARED = 40_000
# How much of two rows has to be equal, where more than one column differs.
_MIN_EQUAL = 1 / 2
_MAX_KEY_COLUMNS = 3
_MAX_KEYS_TRIED = 500


class Paired(NamedTuple):
    """Rows as expected with what they have become, and those that have no counterpart."""

    changed: list[tuple[Row, Row]]
    missing: list[Row]
    additional: list[Row]


def pair(missing: list[Row], additional: list[Row], *, alone: bool) -> Paired:
    """Find the rows that were changed.

    :param alone: whether the table has one row, which is then that row whatever it has
    """
    if not missing or not additional or max(len(missing), len(additional)) > _MAX_ROWS:
        return Paired([], missing, additional)
    if alone:
        return Paired([(missing[0], additional[0])], [], [])
    left = Paired([], missing, additional)
    width = len(missing[0])
    if width > 1:
        # Keys are mostly to the left: two rows that differ there alone are taken for one last.
        for column in reversed(range(width)):
            left = _but_one(left, column)
    if len(left.missing) * len(left.additional) <= _MAX_COMPARED:
        left = _alike(left)
    return left


def key(rows: list[Row], changed: list[tuple[Row, Row]]) -> tuple[int, ...]:
    """Return the columns that tell each row from the others, and did not change; () for none."""
    if not rows or len(rows) > _MAX_ROWS:
        return ()
    columns = [
        column
        for column in range(len(rows[0]))
        if all(before[column] == after[column] for before, after in changed)
    ]
    tried = 0
    for size in range(1, _MAX_KEY_COLUMNS + 1):
        for chosen in combinations(columns, size):
            tried += 1
            if tried > _MAX_KEYS_TRIED:
                return ()
            if len({tuple(row[column] for column in chosen) for row in rows}) == len(rows):
                return chosen
    return ()


def _but_one(found: Paired, column: int) -> Paired:
    """Pair the rows that differ in this column alone."""
    waiting: defaultdict[Row, list[Row]] = defaultdict(list)
    for row in reversed(found.additional):
        waiting[row[:column] + row[column + 1 :]].append(row)
    changed, missing = list(found.changed), []
    for row in found.missing:
        alike = waiting.get(row[:column] + row[column + 1 :])
        if alike:
            changed.append((row, alike.pop()))
        else:
            missing.append(row)
    left = {id(row) for rows in waiting.values() for row in rows}
    return Paired(changed, missing, [row for row in found.additional if id(row) in left])


def _alike(found: Paired) -> Paired:
    """Pair the rows that have most in common, best first."""
    scores = []
    for left, row in enumerate(found.missing):
        for right, other in enumerate(found.additional):
            equal = [one == two for one, two in zip(row, other, strict=True)]
            if sum(equal) >= _MIN_EQUAL * len(equal):
                scores.append((-sum(equal), [not one for one in equal], left, right))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _count, _equal, left, right in sorted(scores):
        if left not in pairs and right not in taken:
            pairs[left] = right
            taken.add(right)
    changed = [(found.missing[left], found.additional[right]) for left, right in pairs.items()]
    return Paired(
        found.changed + changed,
        [row for index, row in enumerate(found.missing) if index not in pairs],
        [row for index, row in enumerate(found.additional) if index not in taken],
    )
