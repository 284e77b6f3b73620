# SPDX-License-Identifier: Apache-2.0
"""The parts of a node: each is looked at by itself, and may be missing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rax._layout import duration

_DAG_SYNC = Path("/usr/local/bin/airflow-dag-sync")
_ENVIRONMENT = Path("/opt/airflow/current")
_SYSTEMD = Path("/run/systemd/system")
_UNITS = "airflow-*.service"
# For a command that only looks.
_MAX_COMMAND_SECONDS = 30
# Cron asks for new commits each minute. The alert in docs/dag_sync.md has the same limit.
_MAX_SYNC_AGE_SECONDS = 900
_SHORT_SHA = 12


class Part(NamedTuple):
    """What was found of a part of the node."""

    # For programs; None is a part that is not on this machine.
    found: Any
    # For people.
    lines: list[str]
    problems: list[str]


ABSENT = Part(None, [], [])


def release() -> Part:
    """Look at the release that is published, and at what keeps the next one from it."""
    from rax.config import _files

    try:
        done = _run(str(_DAG_SYNC), "status")
        if done is None:
            return _linked(_files.PUBLISHED, [])
        return _release(json.loads(done))
    except (_FailedError, ValueError) as error:
        problem = str(error)
    except (AttributeError, LookupError, TypeError, OverflowError):
        problem = "its answer is not of this version"
    # Without the sync, too, the link says what is published.
    return _linked(_files.PUBLISHED, [f"{_DAG_SYNC} status: {problem}"])


def _linked(link: Path, problems: list[str]) -> Part:
    try:
        target, since = link.readlink(), link.lstat().st_mtime
    except FileNotFoundError:
        return Part(None, [], problems)
    except OSError as error:
        return Part(None, [], [*problems, f"{link}: {error.strerror}"])
    line = f"{target.name[:_SHORT_SHA]}, published {_ago(since)}"
    found = {"published": target.name, "published_since": _timestamp(since)}
    return Part(found, [line], problems)


def _release(status: dict[str, Any]) -> Part:
    keys = ("published", "published_since", "seen", "pinned", "blocked", "last_success")
    found = {key: status.get(key) for key in (*keys, "age_seconds", "error", "error_since")}
    lines, problems = [], []
    if found["published"]:
        lines.append(f"{found['published'][:_SHORT_SHA]}, published {found['published_since']}")
    else:
        problems.append("nothing is published: look at `journalctl -t airflow-dag-sync`")
    if found["pinned"]:
        lines.append("pinned: new commits are not published until `airflow-dag-sync unpin`")
    if blocked := found["blocked"]:
        sha = blocked["sha"][:_SHORT_SHA]
        problems.append(f"{sha} is blocked since {blocked['since']}: {blocked['reason']}")
    if found["error"]:
        problems.append(f"since {found['error_since']}: {found['error']}")
    age = found["age_seconds"]
    if not problems and age is not None and age > _MAX_SYNC_AGE_SECONDS:
        problems.append(
            f"the last sync that succeeded was {duration(age)} ago: is cron running?"
            " Look at `journalctl -t airflow-dag-sync`"
        )
    return Part(found, lines or ["nothing is published"], problems)


def environment() -> Part:
    """Look at the Python environment that runs this."""
    from importlib import metadata

    from rax import __version__

    try:
        airflow: str | None = metadata.version("apache-airflow")
    except metadata.PackageNotFoundError:
        airflow = None
    try:
        deployed: str | None = _ENVIRONMENT.readlink().name
    except OSError:
        deployed = None
    found = {
        "name": os.environ.get("RAX_ENVIRONMENT") or None,
        "python_environment": deployed,
        "airflow": airflow,
        "rax": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    versions = [
        f"Airflow {airflow}" if airflow else "no Airflow",
        f"rax {found['rax']}",
        f"Python {found['python']}",
    ]
    lines = [", ".join([found["name"] or "without a name (RAX_ENVIRONMENT)", *versions])]
    lines += [f"{_ENVIRONMENT} is {deployed}"] if deployed else []
    return Part(found, lines, [])


def credentials() -> Part:
    """Count the credentials, and what doctor says of them."""
    from rax.cli._credential_states import age
    from rax.cli._doctor import examine
    from rax.credentials._files import directory

    try:
        directory().lstat()
    except FileNotFoundError:
        return ABSENT
    except OSError:
        # The reason is among the findings below.
        pass
    names, findings = examine([])
    ages = [seconds for name in names if (seconds := age(name)) is not None]
    oldest = max(ages, default=None)
    found = {
        "count": len(names),
        "oldest_age_seconds": None if oldest is None else round(oldest),
        "problems": len(findings),
    }
    confirmed = "" if oldest is None else f", the oldest confirmed {duration(oldest)} ago"
    problems = []
    if findings:
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        problems = [
            f"{findings[0].what}: {findings[0].problem}{more}; `rax credentials doctor` says what"
            " to do"
        ]
    return Part(found, [f"{len(names)}{confirmed}"], problems)


def services() -> Part:
    """Look at the units of Airflow's components."""
    if not _SYSTEMD.is_dir():
        return ABSENT
    try:
        # systemctl fails without a message where no unit is of that pattern.
        listed = _run("systemctl", "list-unit-files", "--plain", "--no-legend", _UNITS, quiet=True)
        units = [line.split()[0] for line in (listed or "").splitlines() if line.strip()]
        if not units:
            return ABSENT
        wanted = "Id,ActiveState,SubState,UnitFileState,StateChangeTimestamp"
        shown = _run("systemctl", "show", "--timestamp=unix", f"--property={wanted}", *units)
    except _FailedError as error:
        return Part(None, [], [f"systemctl: {error}"])
    found, lines, problems = [], [], []
    for block in (shown or "").strip().split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        since = _unix(unit.get("StateChangeTimestamp", ""))
        name, state = unit.get("Id", ""), unit.get("ActiveState", "")
        enabled = unit.get("UnitFileState") == "enabled"
        found.append(
            {
                "unit": name,
                "state": state,
                "substate": unit.get("SubState"),
                "enabled": enabled,
                "since": None if since is None else _timestamp(since),
            }
        )
        when = "" if since is None else f" for {duration(time.time() - since)}"
        lines.append(f"{name} {state}{when}{'' if enabled else ', not enabled'}")
        if state not in ("active", "reloading") and (enabled or state == "failed"):
            problems.append(f"{name} is {state} ({unit.get('SubState')}): `journalctl -u {name}`")
    return Part(found, lines, problems)


def alerts() -> Part:
    """Look at the alerts that have not reached PagerDuty."""
    from rax.cli.alerts import look

    found = look()
    counts = {
        "pending": len(found["pending"]),
        "refused": len(found["refused"]),
        "dropped": found["dropped"],
    }
    words = {"pending": "waiting to be sent", "refused": "refused", "dropped": "lost"}
    said = ", ".join(f"{count} {words[name]}" for name, count in counts.items() if count)
    lines = [said or found["off"] or "all sent"]
    problems = [f"{said}: `rax alerts status`"] if said else []
    return Part({**counts, "off": found["off"]}, lines, problems)


PARTS: dict[str, Callable[[], Part]] = {
    "release": release,
    "environment": environment,
    "credentials": credentials,
    "services": services,
    "alerts": alerts,
}


class _FailedError(Exception):
    """A command has failed; its text says why."""


def _run(*argv: str, quiet: bool = False) -> str | None:
    """Return what a command prints; None where it is not on this machine.

    With ``quiet``, a failure without a message is an empty answer.
    """
    try:
        done = subprocess.run(  # noqa: S603 - both are programs of the node itself
            argv, capture_output=True, text=True, errors="replace", check=False,
            timeout=_MAX_COMMAND_SECONDS,
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"},
            # The terminal may belong to another account, and the command must not type on it.
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        raise _FailedError(f"no answer within {_MAX_COMMAND_SECONDS} s") from None
    except OSError as error:
        raise _FailedError(error.strerror or type(error).__name__) from None
    if done.returncode and not (quiet and not done.stderr.strip()):
        said = done.stderr.strip() or done.stdout.strip() or "no word"
        raise _FailedError(f"{said.splitlines()[-1]} (exit code {done.returncode})")
    return done.stdout


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _ago(seconds: float) -> str:
    return f"{duration(time.time() - seconds)} ago"


def _unix(text: str) -> float | None:
    """Read a time as systemctl prints it with --timestamp=unix: @ and seconds, or nothing."""
    digits = text.removeprefix("@")
    return float(digits) if digits.isdigit() else None
