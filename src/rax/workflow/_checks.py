# SPDX-License-Identifier: Apache-2.0
"""What a ``@check`` can ask where Airflow has no operator or sensor for it."""

import logging
import math
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rax._layout import duration
from rax.credentials import Credential, get_credentials
from rax.credentials._connections import port_of
from rax.errors import CheckError, MalformedCredentialError, RaxError, WorkflowError
from rax.workflow._text import reason

log = logging.getLogger("rax.workflow")

# The ports of schemes whose URLs mostly come without one.
_PORTS = {"http": 80, "https": 443}
# By how much clocks may differ before a date counts as one of the future.
_MAX_CLOCK_SKEW_SECONDS = 300
_UNITS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4, "PB": 5}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?(%|B|[KMGTP]i?B)")


def answers(source: str, *, conn_type: str | None = None, limit: float = 10.0) -> None:
    """Raise a CheckError unless the source of that credential answers.

    A database has to let its account in and answer a query, where Airflow has a hook for its
    ``conn_type`` (by default that of ``connection_fields``); anything else has to accept a TCP
    connection. ``limit`` is for all of it, in seconds. The error names source, host and port.

    :raises CheckError: it does not answer, or not in time
    :raises RaxError: its credential cannot be used, or names no host or port, or Airflow has no
        hook for the ``conn_type`` that is asked for
    """
    credential = get_credentials(source)
    host, port = _address(credential)
    place = f"{source} at {_joined(host, port)}"
    connection = _database(credential, conn_type)
    if connection is None and port is None:
        raise MalformedCredentialError(f"{place}: set port in its metadata in the vault")

    def ask() -> str:
        if connection is None:
            socket.create_connection((host, port), timeout=limit).close()
            return ""
        answered, message = connection.test_connection()
        return "" if answered else reason(str(message))

    problem = _within(limit, ask)
    if problem:
        raise CheckError(f"{place} does not answer: {problem}")
    log.info("%s answers", place)


def _address(credential: Credential) -> tuple[str, int | None]:
    try:
        url = urlsplit(credential["url"])
        port = port_of(credential, None) or url.port or _PORTS.get(url.scheme)
    except ValueError:
        # The error's own text may quote the URL.
        raise MalformedCredentialError(
            f"url of {credential.name} is none: set it in the vault"
        ) from None
    host = credential["host"] or url.hostname
    if not host:
        raise MalformedCredentialError(f"{credential.name} names no host: set it in the vault")
    return host, port


def _joined(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _database(credential: Credential, conn_type: str | None) -> Any:
    """Return the connection, where Airflow is here and has a hook for a database of that type."""
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
        from airflow.sdk.exceptions import AirflowException
    except ImportError:
        return None
    try:
        connection = credential.connection(conn_type)
        return connection if isinstance(connection.get_hook(), DbApiHook) else None
    except (RaxError, AirflowException, ImportError):
        if conn_type:
            raise WorkflowError(
                f"Airflow has no hook for connections of the type {conn_type!r} here"
            ) from None
        # The credential has no type, or one that Airflow has no hook for.
        return None


def _within(limit: float, ask: Callable[[], str]) -> str:
    """Return what is wrong, or nothing, after at most so many seconds.

    It is asked in a thread: nothing else bounds names that do not resolve and drivers that wait.
    """
    problems: list[str] = []

    def run() -> None:
        try:
            problems.append(ask())
        except OSError as error:
            problems.append(error.strerror or reason(error))
        except Exception as error:
            problems.append(reason(error))

    thread = threading.Thread(target=run, name="rax-answers", daemon=True)
    thread.start()
    thread.join(limit)
    return problems[0] if problems else f"nothing within {limit:g} s"


def fresh(path: str | os.PathLike[str], max_age: timedelta | float, min_size: int = 1) -> None:
    """Raise a CheckError unless the file was written recently and is not too small.

    ``max_age`` is a timedelta or seconds since it was last changed, ``min_size`` is in bytes.

    >>> fresh("/data/ebi/flights.csv", timedelta(hours=26))
    Traceback (most recent call last):
        ...
    rax.errors.CheckError: /data/ebi/flights.csv: No such file or directory
    """
    allowed = max_age.total_seconds() if isinstance(max_age, timedelta) else float(max_age)
    if allowed < 0 or math.isnan(allowed):
        raise WorkflowError(f"the max_age of {path} is {allowed:g} s: it has to be a time")
    try:
        found = Path(path).stat()
    except OSError as error:
        raise CheckError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise CheckError(f"{path}: is not a file")
    age = time.time() - found.st_mtime
    if age < -_MAX_CLOCK_SKEW_SECONDS:
        raise CheckError(f"{path}: is dated {duration(-age)} in the future; is a clock wrong?")
    if age > allowed:
        raise CheckError(
            f"{path}: was last changed {duration(age)} ago, {duration(allowed)} are allowed"
        )
    if found.st_size < min_size:
        raise CheckError(f"{path}: has {found.st_size} bytes, at least {min_size} are expected")
    log.info("%s has %d bytes and was changed %s ago", path, found.st_size, duration(age))


def room(path: str | os.PathLike[str], at_least: str | int) -> None:
    """Raise a CheckError unless the file system of that path has so much room for this account.

    ``at_least`` is bytes, a size such as "5 GiB" or "500 MB", or a share such as "10 %". Where
    files can run out before space does, as inodes do, some have to be left.

    >>> room("/", "0 B")
    >>> room("/", "lots")
    Traceback (most recent call last):
        ...
    rax.errors.WorkflowError: 'lots' is no amount of room: give bytes, '5 GiB', '500 MB' or '10 %'
    """
    wanted, share = _amount(at_least)
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise CheckError(f"{path}: {error.strerror}") from None
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if share:
        wanted = size * wanted / 100
    if free < wanted:
        raise CheckError(f"{path}: has room for {_size(free)}, {_size(wanted)} are needed")
    if found.f_files and not found.f_favail:
        raise CheckError(f"{path}: has room for no more files: all of its inodes are taken")
    log.info("%s has room for %s", path, _size(free))


def _amount(given: str | int) -> tuple[float, bool]:
    """Return bytes, or a percentage and that it is one."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given, False
    match = _AMOUNT.fullmatch(given.strip()) if isinstance(given, str) else None
    if not match or (match[2] == "%" and float(match[1]) > 100):
        raise WorkflowError(
            f"{given!r} is no amount of room: give bytes, '5 GiB', '500 MB' or '10 %'"
        )
    if match[2] == "%":
        return float(match[1]), True
    power = _UNITS[match[2].replace("i", "")]
    return float(match[1]) * (1024 if "i" in match[2] else 1000) ** power, False


def _size(count: float) -> str:
    """Return bytes as people read them.

    >>> _size(0), _size(1536), _size(5 * 2**30)
    ('0 B', '1.5 KiB', '5.0 GiB')
    """
    power = min(int(math.log(count, 1024)), 5) if count >= 1 else 0
    return f"{count:.0f} B" if not power else f"{count / 1024**power:.1f} {'KMGTP'[power - 1]}iB"
