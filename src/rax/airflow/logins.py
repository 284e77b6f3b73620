# SPDX-License-Identifier: Apache-2.0
"""Limit refused log-ins, of the form and of the API alike, and say so in a page.

Airflow itself limits the form alone, per process, with a bare 429. Here an attempt is counted when
it begins, and forgotten when it succeeds: neither people of one office nor programs that ask for
many tokens are in each other's way, and attempts in parallel are not more than others. The limit is
``[fab] auth_rate_limit``; all processes of an API server share the count.
"""

import html
import ipaddress
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOGIN_FORM = "/auth/login/"
LOGINS = (LOGIN_FORM, "/auth/login", "/auth/token", "/auth/token/cli")
# How long another process may hold the file of attempts, in seconds.
MAX_WAIT_SECONDS = 5
# Who has an address of IPv6 mostly has all of its network.
IPV6_PREFIX = 64

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Too many log-ins were refused</title>
<style>
body {{ font: 1rem/1.5 sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem }}
</style>
<h1>Too many log-ins were refused</h1>
<p>{detail}</p>
<p><a href="{form}">Back to the log-in</a></p>
</html>
"""


class Attempts:
    """Attempts that were refused or go on, in a file that processes share."""

    def __init__(self, path: Path, limit: str) -> None:
        """Make the file; the limit is as Airflow has it, such as ``5 per 40 second``."""
        from limits import parse_many

        self._path = path
        self._limits = [(item.amount, item.get_expiry()) for item in parse_many(limit)]
        with closing(self._open()) as database:
            # One writer waits for the other, and nothing need outlive the machine's next start.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = OFF")
            database.execute(
                "CREATE TABLE IF NOT EXISTS attempt"
                " (id INTEGER PRIMARY KEY, address TEXT NOT NULL, began REAL NOT NULL)"
            )
            database.execute("CREATE INDEX IF NOT EXISTS of_address ON attempt (address, began)")

    def begin(self, address: str, now: float) -> tuple[int, int]:
        """Note an attempt; return its id, and for how many seconds it is refused: 0 if it is not.

        An attempt that is refused here is not noted: waiting helps.
        """
        with closing(self._open()) as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                longest = max(seconds for _amount, seconds in self._limits)
                # Another process may be a moment ahead, but a clock that was put back must not
                # refuse for ever.
                database.execute(
                    "DELETE FROM attempt WHERE began NOT BETWEEN ? AND ?",
                    (now - longest, now + longest),
                )
                wait = max(self._wait(database, address, now, *limit) for limit in self._limits)
                if wait > 0:
                    return 0, int(wait) + 1
                noted = database.execute(
                    "INSERT INTO attempt (address, began) VALUES (?, ?)", (address, now)
                )
                return int(noted.lastrowid or 0), 0

    def forget(self, attempt: int) -> None:
        """Forget an attempt, since it has succeeded."""
        with closing(self._open()) as database:
            database.execute("DELETE FROM attempt WHERE id = ?", (attempt,))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=MAX_WAIT_SECONDS, isolation_level=None)

    @staticmethod
    def _wait(
        database: sqlite3.Connection, address: str, now: float, amount: int, seconds: int
    ) -> float:
        """Return for how long there have been so many attempts within so many seconds."""
        last = database.execute(
            "SELECT began FROM attempt WHERE address = ? AND began > ?"
            " ORDER BY began DESC LIMIT 1 OFFSET ?",
            (address, now - seconds, amount - 1),
        ).fetchone()
        return float(last[0]) + seconds - now if last else 0


class LoginLimit:
    """The middleware of the API server that asks Attempts about each log-in."""

    def __init__(self, app: App) -> None:
        """Take the application around which this is."""
        from airflow.configuration import conf

        self._app = app
        self._attempts: Attempts | None = None
        if conf.getboolean("fab", "auth_rate_limited", fallback=True):
            # The unit's own folder; whoever starts the server by hand has one made.
            folder = os.environ.get("RUNTIME_DIRECTORY") or tempfile.mkdtemp(prefix="rax-logins-")
            limit = conf.get("fab", "auth_rate_limit", fallback="5 per 40 second")
            self._attempts = Attempts(Path(folder, "logins.db"), limit)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, but for a log-in from where too many were refused."""
        from starlette.concurrency import run_in_threadpool

        if self._attempts is None or not _is_login(scope):
            await self._app(scope, receive, send)
            return
        attempt, wait = await run_in_threadpool(
            self._attempts.begin, source_of(scope.get("client")), time.time()
        )
        if wait:
            await _refuse(scope, send, wait)
            return
        succeeded = False

        async def watch(message: Message) -> None:
            nonlocal succeeded
            if message["type"] == "http.response.start":
                succeeded = _has_succeeded(message)
            await send(message)

        await self._app(scope, receive, watch)
        if succeeded:
            await run_in_threadpool(self._attempts.forget, attempt)


def source_of(client: tuple[str, int] | None) -> str:
    """Return what counts as one source: an address of IPv4, or a network of IPv6.

    >>> source_of(("::ffff:10.0.0.5", 1)), source_of(("2001:db8::1:2", 1)), source_of(None)
    ('10.0.0.5', '2001:db8::/64', '')
    """
    name = client[0] if client else ""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))


def _path(scope: Message) -> str:
    path = str(scope.get("path", ""))
    root = str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _is_login(scope: Message) -> bool:
    return bool(
        scope["type"] == "http" and scope.get("method") == "POST" and _path(scope) in LOGINS
    )


def _has_succeeded(start: Message) -> bool:
    """Tell by the beginning of its answer whether a log-in has succeeded.

    The API answers with 201. The form leads elsewhere, or back to itself where it was refused.
    """
    status = start["status"]
    if status < 300:
        return True
    places = [value for name, value in start.get("headers", []) if name.lower() == b"location"]
    return bool(
        status < 400
        and places
        and not any(b"/login" in place.partition(b"?")[0] for place in places)
    )


async def _refuse(scope: Message, send: Send, wait: int) -> None:
    detail = f"Too many log-ins from here were refused. Try again in {wait} seconds."
    path = _path(scope)
    if path.startswith(LOGIN_FORM.rstrip("/")):
        kind = b"text/html; charset=utf-8"
        form = html.escape(f"{scope.get('root_path', '')}{LOGIN_FORM}")
        body = _PAGE.format(detail=detail, form=form)
    else:
        kind, body = b"application/json", json.dumps({"detail": detail})
    headers = [
        (b"content-type", kind),
        (b"retry-after", str(wait).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})


class LoginsPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow is not here when types are checked
    """What Airflow loads by the entry point ``airflow.plugins``."""

    name = "caspian_logins"
    fastapi_root_middlewares = [{"name": "limit of log-ins", "middleware": LoginLimit}]  # noqa: RUF012 - Airflow's own attribute is no ClassVar
