# SPDX-License-Identifier: Apache-2.0
"""Read logs of tasks as the UI does: the API server fetches them from the task's node."""

import json
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rax._printable import one_line

# What Airflow says of a log's sources is in the first lines; a log itself may be endless.
MAX_LINES = 10
MAX_LINE_BYTES = 2**16
MAX_REASON_CHARACTERS = 300
MAX_REPLY_SECONDS = 30
MAX_TOKEN_SECONDS = 600
MAX_REQUESTS_AT_ONCE = 16


def unreadable_logs(api_url: str, paths: Mapping[str, str]) -> dict[str, str]:
    """Return why logs can't be read through the API server, of those that can't.

    Takes the server's URL, and of each worker the path of a log in its API.
    """
    if not paths:
        return {}
    token = _token()
    if token is None:
        return {}
    with ThreadPoolExecutor(MAX_REQUESTS_AT_ONCE) as pool:
        reasons = pool.map(lambda path: _reason(api_url + path, token), paths.values())
        return {name: reason for name, reason in zip(paths, reasons, strict=True) if reason}


def _token() -> str | None:
    """Return a token of an admin, who may read all logs; None where FAB keeps no accounts."""
    from airflow import settings
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
    from airflow.providers.fab.auth_manager.models import Role, User
    from sqlalchemy import select

    manager = create_auth_manager()
    if not isinstance(manager, FabAuthManager):
        return None
    question = select(User).join(User.roles).where(Role.name == "Admin", User.active).limit(1)
    with settings.Session() as session:
        user = session.scalars(question).first()
        if user is None:
            return None
        return str(manager.generate_jwt(user, expiration_time_in_seconds=MAX_TOKEN_SECONDS))


def _reason(url: str, token: str) -> str:
    """Return why the log can't be read; empty where it can."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/x-ndjson"}
    try:
        with urllib.request.urlopen(  # noqa: S310 - the URL is Airflow's own setting
            urllib.request.Request(url, headers=headers),  # noqa: S310 - this too
            timeout=MAX_REPLY_SECONDS,
        ) as reply:
            lines = [reply.readline(MAX_LINE_BYTES) for _line in range(MAX_LINES)]
    except OSError as error:
        return one_line(f"the API server did not give it: {error}", MAX_REASON_CHARACTERS)
    for line in lines:
        refused = [source for source in _sources(line) if not source.startswith(("http://", "/"))]
        if refused:
            return one_line(refused[0], MAX_REASON_CHARACTERS)
    return ""


def _sources(line: bytes) -> list[str]:
    """Return the sources that a line of a log names.

    They are a URL or a path of what was read, or else Airflow's words about what could not be read
    (airflow/utils/log/file_task_handler.py).
    """
    try:
        entry: Any = json.loads(line)
    except ValueError:
        return []
    found = entry.get("sources") if isinstance(entry, dict) else None
    return [str(source) for source in found] if isinstance(found, list) else []
