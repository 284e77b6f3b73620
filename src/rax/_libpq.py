# SPDX-License-Identifier: Apache-2.0
"""The doors of libpq, which connects without a word to Python: its drivers are made to ask."""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def guard(is_refused: Callable[[Mapping[str, Any]], bool], reason: str) -> None:
    """Have the drivers of PostgreSQL that are loaded ask before each connection.

    :param is_refused: takes the options of a connection, as libpq calls them
    :param reason: what the error says of one that is refused
    """
    driver: Any = sys.modules.get("psycopg2")
    if driver is not None:
        parse = sys.modules["psycopg2.extensions"].parse_dsn
        driver._connect = _asking(
            driver._connect, parse, driver.OperationalError, is_refused, reason
        )
    driver = sys.modules.get("psycopg")
    if driver is not None:
        parse = sys.modules["psycopg.conninfo"].conninfo_to_dict
        connect = driver.Connection.connect
        asking = _asking(connect, parse, driver.OperationalError, is_refused, reason)
        driver.connect = driver.Connection.connect = asking


def _asking(
    connect: Callable[..., Any],
    parse: Callable[[str], Mapping[str, Any]],
    error: type[Exception],
    is_refused: Callable[[Mapping[str, Any]], bool],
    reason: str,
) -> Callable[..., Any]:
    def asking(dsn: str = "", *arguments: Any, **options: Any) -> Any:
        if is_refused({**parse(dsn), **options}):
            raise error(reason)
        return connect(dsn, *arguments, **options)

    return asking
