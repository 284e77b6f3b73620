# SPDX-License-Identifier: Apache-2.0
"""What a task returned, as the API has it, in the form that a spec can say."""

import datetime
import zoneinfo
from typing import Any

_MAX_DEPTH = 50
_CLASS, _DATA = "__classname__", "__data__"
_LISTS = ("builtins.tuple", "builtins.set", "builtins.frozenset")
_TIMES = ("datetime.datetime", "pendulum.datetime.DateTime")
_TEXTS = ("datetime.date", "pendulum.date.Date", "decimal.Decimal", "uuid.UUID")


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as the engine gives it where the task runs here.

    Airflow writes what JSON does not know with the name of its class.

    >>> plain({"__classname__": "datetime.date", "__version__": 2, "__data__": "2026-01-31"})
    '2026-01-31'
    """
    if depth > _MAX_DEPTH:
        return f"(nested more than {_MAX_DEPTH} times)"
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    name, data = value.get(_CLASS), value.get(_DATA)
    if name in _LISTS and isinstance(data, list):
        items = [plain(item, depth + 1) for item in data]
        return items if name == _LISTS[0] else sorted(items, key=repr)
    if name in _TEXTS and isinstance(data, str | int | float):
        return str(data)
    if name in _TIMES and isinstance(data, dict):
        return _time(data) or value
    return {key: plain(item, depth + 1) for key, item in value.items()}


def _time(data: dict[str, Any]) -> str | None:
    zone = plain(data.get("tz"))
    zone = zone[0] if isinstance(zone, list) and zone else zone
    try:
        if isinstance(zone, int | float):
            where: datetime.tzinfo | None = datetime.timezone(datetime.timedelta(seconds=zone))
        else:
            where = zoneinfo.ZoneInfo(zone) if zone else None
        return datetime.datetime.fromtimestamp(float(data["timestamp"]), where).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        # ZoneInfoNotFoundError is a KeyError.
        return None
