# SPDX-License-Identifier: Apache-2.0
"""Whether the target holds what the source had, for a ``@summary`` to ask."""

import logging
import operator
from collections.abc import Mapping
from typing import Any

from rax._layout import table
from rax.errors import CountsDifferError, WorkflowError
from rax.workflow._text import MAX_REASON_CHARACTERS, aligned

log = logging.getLogger("rax.workflow")

# Of the table in the log. The error names keys that differ as far as it is shown.
_MAX_TABLE_LINES = 200
_TOTAL = "total"


def compare_counts(
    expected: Mapping[Any, int] | int, found: Mapping[Any, int] | int
) -> dict[str, int]:
    """Raise an error unless both counts, or the counts of every key, are equal.

    A key that one side lacks has nothing there. Logs a table, and returns ``{"expected": …,
    "found": …}`` with the sums.

    >>> compare_counts({"January": 27004, "February": 24951}, {"January": 27004})
    Traceback (most recent call last):
        ...
    rax.errors.CountsDifferError: 1 of 2 counts differs: February: 24951 expected, 0 found
    >>> compare_counts(336776, 336776)
    {'expected': 336776, 'found': 336776}

    :raises CountsDifferError: some differ; it names each key, and both counts
    :raises WorkflowError: something is no count, or one side is a mapping and the other is none
    """
    if isinstance(expected, Mapping) != isinstance(found, Mapping):
        raise WorkflowError("counts are compared with counts: two numbers, or two mappings")
    wanted, there = _counts(expected), _counts(found)
    keys = list(wanted | there)
    pairs = {key: (wanted.get(key, 0), there.get(key, 0)) for key in keys}
    sums = {"expected": sum(wanted.values()), "found": sum(there.values())}
    different = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    log.log(logging.ERROR if different else logging.INFO, "Counts:\n%s", _table(pairs, different))
    if different:
        verb = "differs" if len(different) == 1 else "differ"
        text = f"{len(different)} of {len(pairs)} counts {verb}: "
        for number, (key, (first, second)) in enumerate(different.items()):
            part = f"{'; ' * bool(number)}{key}: {first} expected, {second} found"
            if len(text + part) > MAX_REASON_CHARACTERS - 30:
                text += f"; and {len(different) - number} more"
                break
            text += part
        raise CountsDifferError(text)
    return sums


def _counts(given: Mapping[Any, int] | int) -> dict[Any, int]:
    if not isinstance(given, Mapping):
        given = {_TOTAL: given}
    counts = {}
    for key, count in given.items():
        try:
            counts[key] = operator.index(count)
        except TypeError:
            raise WorkflowError(
                f"the count of {key} is a {type(count).__name__}, not a whole number"
            ) from None
    return counts


def _table(pairs: dict[Any, tuple[int, int]], different: dict[Any, tuple[int, int]]) -> str:
    """Return a table of all counts, or, if it were too long, of those that differ, and the sums."""
    shown = pairs if len(pairs) <= _MAX_TABLE_LINES else different
    listed = dict(list(shown.items())[:_MAX_TABLE_LINES])
    lines = [(str(key), *pair) for key, pair in listed.items()]
    if len(lines) < len(pairs):
        left = [pair for key, pair in pairs.items() if key not in listed]
        lines.append((f"… {len(left)} more", sum(a for a, _b in left), sum(b for _a, b in left)))
    if len(pairs) > 1:
        everything = pairs.values()
        lines.append((_TOTAL, sum(a for a, _b in everything), sum(b for _a, b in everything)))
    rows = [[key, str(a), str(b), f"{b - a:+d}" if a != b else ""] for key, a, b in lines]
    return table(("of", "expected", "found", "difference"), aligned(rows, (1, 2, 3))).rstrip("\n")
