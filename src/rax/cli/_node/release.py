# SPDX-License-Identifier: Apache-2.0
"""The release that is published, and what keeps the next one from it."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rax._layout import duration
from rax.cli._node._commands import CommandFailedError, run
from rax.cli._node._part import Part, Problem, ago, timestamp

DAG_SYNC = Path("/usr/local/bin/airflow-dag-sync")
COMPONENT = "dag-sync"
# Cron asks for new commits each minute. The alert in docs/dag_sync.md has the same limit.
MAX_AGE_SECONDS = 900
# A server that is away for a moment is asked again in the next minute.
MAX_FAILING_SECONDS = 300
# A rollback is undone, or made good by a new commit, within the day.
MAX_PINNED_SECONDS = 86400
_SHORT_SHA = 12
_KEYS = ("published", "published_since", "seen", "pinned", "pinned_since", "blocked",
         "last_success", "age_seconds", "error", "error_since")  # fmt: skip


def release() -> Part:
    """Ask the sync, and where there is none, look at the link."""
    from rax.config import _files

    try:
        printed = run(str(DAG_SYNC), "status")
        if printed is None:
            return _linked(_files.PUBLISHED, [])
        return _release(json.loads(printed))
    except (CommandFailedError, ValueError) as error:
        problem = str(error)
    except (AttributeError, LookupError, TypeError, OverflowError, RecursionError):
        problem = "its answer is not of this version"
    # Without the sync, too, the link says what is published.
    unanswered = Problem(COMPONENT, "unanswered", f"{DAG_SYNC} status: {problem}")
    return _linked(_files.PUBLISHED, [unanswered])


def _linked(link: Path, problems: list[Problem]) -> Part:
    try:
        target, since = link.readlink(), link.lstat().st_mtime
    except FileNotFoundError:
        return Part(None, [], problems)
    except OSError as error:
        unreadable = Problem(COMPONENT, "unanswered", f"{link}: {error.strerror}")
        return Part(None, [], [*problems, unreadable])
    line = f"{target.name[:_SHORT_SHA]}, published {ago(since)}"
    found = {"published": target.name, "published_since": timestamp(since)}
    return Part(found, [line], problems)


def _release(status: dict[str, Any]) -> Part:
    found = {key: status.get(key) for key in _KEYS}
    lines, problems = [], []

    def wrong(kind: str, problem: str) -> None:
        problems.append(Problem(COMPONENT, kind, problem))

    if found["published"]:
        lines.append(f"{found['published'][:_SHORT_SHA]}, published {found['published_since']}")
    else:
        wrong("unpublished", "nothing is published: look at `journalctl -t airflow-dag-sync`")
    if found["pinned"]:
        lines.append("pinned: new commits are not published until `airflow-dag-sync unpin`")
        pinned = _age(found["pinned_since"] or found["published_since"])
        if pinned > MAX_PINNED_SECONDS:
            wrong("sync-pinned", f"pinned to {found['pinned'][:_SHORT_SHA]} for {duration(pinned)}:"
                  " `airflow-dag-sync unpin` follows the repository again")  # fmt: skip
    if blocked := found["blocked"]:
        sha = blocked["sha"][:_SHORT_SHA]
        wrong("commit-blocked", f"{sha} is blocked since {blocked['since']}: {blocked['reason']}")
    error, age = found["error"], found["age_seconds"]
    # The last error is that of the blocked commit as long as nothing else is wrong.
    if error and not (blocked and error.startswith("blocked ")):
        lines.append(f"failing since {found['error_since']}: {error}")
        if _age(found["error_since"]) > MAX_FAILING_SECONDS:
            wrong("sync-server", f"since {found['error_since']}: {error}")
    elif age is not None and age > MAX_AGE_SECONDS:
        wrong("sync-lagging", f"the last sync that succeeded was {duration(age)} ago: is cron"
              " running? Look at `journalctl -t airflow-dag-sync`")  # fmt: skip
    return Part(found, lines or ["nothing is published"], problems)


def _age(when: Any) -> float:
    """Return the seconds since a time of the status."""
    return time.time() - datetime.fromisoformat(when).timestamp()
