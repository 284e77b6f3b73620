# SPDX-License-Identifier: Apache-2.0
"""What a task returned, as a spec can say it: by what JSON and YAML have."""

import dataclasses
import datetime
import decimal
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

# A value that holds itself has no end.
_MAX_DEPTH = 50


def plain(value: object, depth: int = 0) -> Any:
    """Return a value with nothing in it but mappings, lists, texts, numbers, booleans and None.

    Dates are in ISO 8601 and decimals as Python writes them, both texts; tuples and sets are lists,
    the latter sorted. Of all else, it is what Airflow makes of it for an XCom.

    >>> plain({"month": 1, "on": datetime.date(2026, 1, 31), "sum": decimal.Decimal("1.10")})
    {'month': 1, 'on': '2026-01-31', 'sum': '1.10'}
    >>> plain(({3, 1},))
    [[1, 3]]
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > _MAX_DEPTH:
        return f"(nested more than {_MAX_DEPTH} times)"
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item, depth + 1) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID | pathlib.PurePath):
        return str(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value), depth + 1)
    return _by_airflow(value, depth)


def _by_airflow(value: object, depth: int) -> Any:
    try:
        from airflow.sdk.serde import serialize

        return plain(serialize(value), depth + 1)
    except Exception:  # Its class may do anything.
        return f"({type(value).__module__}.{type(value).__qualname__})"
