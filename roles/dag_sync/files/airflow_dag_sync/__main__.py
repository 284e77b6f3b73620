# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish the DAG repository on this host: the command line."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import signal
import sys
import syslog
import time
import zlib
from collections.abc import Callable
from pathlib import Path

if not __package__:
    # Run as a folder, this file is by itself, and its folder in front of all others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from airflow_dag_sync.errors import (
    EXIT_CODES,
    BusyError,
    MisconfiguredError,
    SyncError,
    as_sync_error,
)
from airflow_dag_sync.publisher import Publisher
from airflow_dag_sync.settings import SETTINGS_FILE, Settings
from airflow_dag_sync.status import status
from airflow_dag_sync.text import log_line, one_line, without_userinfo
from airflow_dag_sync.urls import FULL_SHA


def offset(hostname: str, splay_seconds: int) -> float:
    """Return a host's own delay in seconds: always the same, and spread over the hosts."""
    return zlib.crc32(hostname.encode()) / 2**32 * splay_seconds


def run_as(user: str, *, only_reads: bool) -> None:
    """Leave root for the account that owns the releases."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise MisconfiguredError(f"'user' {user}: this host has no such account") from None
    if os.geteuid() == 0 and account.pw_uid != 0:
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    elif os.geteuid() != account.pw_uid and not only_reads:
        raise MisconfiguredError(f"run this as {user} or root")


def say_to_terminal(message: str, priority: int = syslog.LOG_INFO) -> None:
    """Say one line to whoever runs this."""
    stream = sys.stderr if priority < syslog.LOG_NOTICE else sys.stdout
    stream.write(log_line(message) + "\n")
    stream.flush()


def say_to_syslog(message: str, priority: int = syslog.LOG_INFO) -> None:
    """Say one line to the journal; a run that finds nothing new says nothing."""
    if priority < syslog.LOG_DEBUG:
        syslog.syslog(priority, log_line(message))


def sha_argument(text: str) -> str:
    """Accept a full sha only."""
    if not FULL_SHA.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the 40 characters of a commit")
    return text


def parse_arguments(version: str) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="airflow-dag-sync",
        description="Publish the DAG repository on this host. Without a command: sync now.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"airflow-dag-sync {version}")
    parser.add_argument(
        "--settings", type=Path, default=SETTINGS_FILE, help="default: %(default)s; -: from stdin"
    )
    parser.add_argument(
        "--splay",
        action="store_true",
        help="for cron: first wait this host's share of the splay time; write to syslog",
    )
    commands = parser.add_subparsers(dest="command", metavar="command", prog="airflow-dag-sync")
    commands.add_parser("status", help="print what is published, seen and wrong, as JSON")
    commands.add_parser("check-settings", help="print what is wrong with the settings, and no more")
    command = commands.add_parser("fetch", help="bring a release without publishing it")
    command.add_argument("sha", type=sha_argument)
    command = commands.add_parser("rollback", help="publish an earlier release and stay on it")
    command.add_argument("sha", type=sha_argument, nargs="?", help="default: the previous one")
    commands.add_parser("unpin", help="follow the ref again")
    return parser.parse_args()


def check_settings(file: Path) -> int:
    """Print a line for each thing that no run could work with; return the exit code."""
    problems = list(Settings.parse(file).problems())
    for problem in problems:
        sys.stdout.write(one_line(without_userinfo(problem)) + "\n")
    return MisconfiguredError.code if problems else 0


def run(arguments: argparse.Namespace, say: Callable[..., None]) -> int:
    """Do what is asked, and return the exit code; raise OSError or SyncError."""
    if arguments.command == "check-settings":
        return check_settings(arguments.settings)
    settings = Settings.load(arguments.settings)
    if arguments.splay:
        time.sleep(offset(os.uname().nodename, settings.splay_seconds))
    run_as(settings.user, only_reads=arguments.command == "status")
    os.umask(0o027)
    publisher = Publisher(settings, say)
    match arguments.command:
        case "status":
            found = status(publisher.releases, publisher.state)
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
        case "fetch":
            publisher.fetch(arguments.sha)
        case "rollback":
            publisher.rollback(arguments.sha)
        case "unpin":
            publisher.unpin()
        case _:
            try:
                publisher.sync(retry_blocked=not arguments.splay)
            except BusyError as busy:
                say(f"busy: {busy}", syslog.LOG_DEBUG)
    return 0


def main(version: str = "of a checkout") -> int:
    """Run, and turn problems into a line and an exit code."""
    arguments = parse_arguments(version)
    say = say_to_syslog if arguments.splay else say_to_terminal
    syslog.openlog("airflow-dag-sync", syslog.LOG_PID, syslog.LOG_DAEMON)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(arguments, say)
    except (OSError, SyncError) as error:
        problem = as_sync_error(error)
        if not (arguments.splay and problem.reported_recently):
            say(problem.log_line, syslog.LOG_ERR)
        return problem.code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
