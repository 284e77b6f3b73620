# SPDX-License-Identifier: Apache-2.0
"""``rax alerts``: what has not reached PagerDuty, and another try to send it."""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rax._layout import duration
from rax._printable import one_line
from rax.cli._account import leave_root
from rax.cli._commands import add_command, add_group
from rax.cli._output import write, write_json, write_table
from rax.errors import AlertError

if TYPE_CHECKING:
    from rax.cli._commands import Commands


def add_parser(commands: "Commands") -> None:
    """Add the group to the command line."""
    group = add_group(commands, "alerts", "the alerts that have not reached PagerDuty")
    add_command(
        group,
        "status",
        _status,
        "what is waiting to be sent, what was refused, and why",
        "Exit code: 0 all was sent, or alerting is not set up; 1 something is waiting, was\n"
        "refused or had no room. What was refused is kept for a look, until its file is removed.",
    )
    flush = add_command(
        group,
        "flush",
        _flush,
        "send what is waiting, in order",
        "Exit code: 0 nothing is left; 1 something is still waiting, or was refused.",
    )
    flush.add_argument(
        "--quiet",
        action="store_true",
        help="for cron: say nothing unless something was sent or refused",
    )
    flush.add_argument(
        "--limit",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="how long it may take (default: %(default)g)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 3600")
    return seconds


def look() -> dict[str, Any]:
    """Return what is waiting and what was refused, oldest first, and how many had no room.

    :raises AlertError: the spool cannot be used
    """
    from rax import alerting
    from rax.alerting import _folder, _pagerduty

    with _advising_sudo():
        return {
            "spool": str(_folder.spool_path()),
            "off": _pagerduty.not_set_up() or None,
            "pending": [_as_json(entry) for entry in alerting.pending()],
            "refused": [_as_json(entry) for entry in alerting.refused()],
            "dropped": alerting.dropped(),
        }


@contextlib.contextmanager
def _advising_sudo() -> Iterator[None]:
    """Where the spool is not this account's, say how it can be looked at."""
    from rax.alerting import _folder

    try:
        yield
    except AlertError as error:
        try:
            _folder.spool_path().stat()
            denied = not os.access(_folder.spool_path(), os.R_OK | os.X_OK, effective_ids=True)
        except OSError as why:
            denied = isinstance(why, PermissionError)
        if not denied:
            raise
        raise AlertError(
            f"{error}; alerts are for the account of the tasks alone: use `sudo rax …`"
        ) from None


def _as_json(entry: Any) -> dict[str, Any]:
    return {**entry._asdict(), "when": entry.when.isoformat(timespec="seconds")}


def _status(options: argparse.Namespace) -> int:
    leave_root()
    found = look()
    code = 1 if found["pending"] or found["refused"] or found["dropped"] else 0
    if options.json:
        write_json(found)
        return code
    if found["off"]:
        write(f"{one_line(found['off'])}\n")
    elif not code:
        write("all alerts were sent\n")
    if pending := found["pending"]:
        write(f"{_count(pending)} waiting in {found['spool']}; `rax alerts flush` sends them\n")
        _write_alerts(pending)
    if refused := found["refused"]:
        write(f"{_count(refused)} refused; remove them from {found['spool']}/refused when seen\n")
        _write_alerts(refused)
    if found["dropped"]:
        write(
            f"{found['dropped']} lost for want of room, as the log has it; remove"
            f" {found['spool']}/dropped when seen\n"
        )
    return code


def _count(entries: Sequence[object]) -> str:
    return f"{len(entries)} alert{'s are' if len(entries) != 1 else ' is'}"


def _write_alerts(entries: Sequence[dict[str, Any]]) -> None:
    from datetime import datetime

    now = time.time()
    rows = [
        (
            duration(max(0.0, now - datetime.fromisoformat(entry["when"]).timestamp())),
            entry["action"] or "-",
            entry["dedup_key"] or "-",
            entry["summary"] or "-",
        )
        for entry in entries
    ]
    write_table(("age", "action", "key", "summary"), rows)
    for problem in dict.fromkeys(entry["problem"] for entry in entries if entry["problem"]):
        write(f"  because: {one_line(problem)}\n")


def _flush(options: argparse.Namespace) -> int:
    from rax import alerting

    leave_root()
    with _advising_sudo():
        done = alerting.flush(limit=options.limit)
    if options.json:
        write_json(done._asdict())
    elif done.sent or done.refused or not options.quiet:
        problem = f": {one_line(done.problem)}" if done.problem else ""
        write(f"{done.sent} sent, {done.refused} refused, {done.pending} waiting{problem}\n")
    return 1 if done.pending or done.refused else 0
