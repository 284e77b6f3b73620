# SPDX-License-Identifier: Apache-2.0
"""Values and errors of tasks as short texts that may be shown: bounded, masked, in one line."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

from rax._layout import cut
from rax._printable import one_line
from rax.alerting._plain import Plain
from rax.alerting._secrets import hide

# A reason has to fit into the summary of an alert, and a value into a column of a table.
MAX_REASON_CHARACTERS = 500
MAX_VALUE_CHARACTERS = 80
_MAX_DETAILS_CHARACTERS = 16_000
# How many items of a collection are looked at: more would not fit into a column either.
_MAX_ITEMS = 50


def shown(value: object) -> str:
    """Return a returned value in at most 80 characters; None is nothing.

    >>> shown({"rows": 12, "month": 1}), shown(None), shown(float("nan"))
    ('{"rows": 12, "month": 1}', '', 'nan')
    """
    return "" if value is None else cut(one_line(_json(safe(_few(value)))), MAX_VALUE_CHARACTERS)


def reason(error: BaseException | str | None) -> str:
    """Return kind and first line of an error in at most 500 characters.

    Databases go on with the row that they refuse: that is for the task's log, not for an alert.

    >>> reason(ValueError("no rows\\nfor January")), reason(KeyError()), reason(None)
    ('ValueError: no rows', 'KeyError', 'no reason is known')
    """
    if error is None:
        return "no reason is known"
    # Masked before it is cut, so that no half of a secret is left.
    text = one_line(_first_line(str(safe(_message(error)))))
    kind = "" if isinstance(error, str) else type(error).__name__
    return cut(": ".join(part for part in (kind, text) if part), MAX_REASON_CHARACTERS)


def safe(value: object) -> Any:
    """Return the value as JSON can hold it, without a password of this node's credentials."""
    return hide(Plain()(value))


def details(value: object) -> Any:
    """Return what a summary returned, or its beginning where it is too long for a line of a log."""
    plain = safe(value)
    return plain if len(_json(plain)) <= _MAX_DETAILS_CHARACTERS else shown(value)


def aligned(rows: list[list[str]], columns: Iterable[int]) -> list[list[str]]:
    """Return the rows of a table, the numbers in those columns moved to the right.

    >>> aligned([["a", "5"], ["b", "12"]], [1])
    [['a', ' 5'], ['b', '12']]
    """
    for column in columns:
        width = max((len(row[column]) for row in rows), default=0)
        for row in rows:
            row[column] = row[column].rjust(width)
    return rows


def _message(error: BaseException | str) -> str:
    try:
        return str(error)
    except Exception:
        return "its message cannot be shown"


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")


def _few(value: object) -> object:
    """Return so few items of a huge collection that looking at them costs nothing."""
    # Only these very types: a slice of anything else may do anything.
    kind = type(value)
    if kind is list and isinstance(value, list):
        return value[:_MAX_ITEMS]
    if kind is dict and isinstance(value, dict):
        return dict(itertools.islice(value.items(), _MAX_ITEMS))
    return value


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
