# SPDX-License-Identifier: Apache-2.0
"""How long ago the vault confirmed a credential, by the status file beside the credentials."""

import functools
import json
import math
import os
import re
import stat
import time
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from rax._file_identity import Identity, identity, is_settled
from rax._layout import span
from rax._printable import one_line
from rax.errors import RaxError, StaleCredentialError, StaleCredentialWarning

_MAX_AGE = "RAX_CREDENTIALS_MAX_AGE"
_STALE = "RAX_CREDENTIALS_STALE"

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MAX_REASON_CHARACTERS = 500
# A clock that is put right steps back by less than this; more is a wrong clock, or a wrong time.
_MAX_CLOCK_STEP_SECONDS = 60


class _Source(NamedTuple):
    """What is known of one source: when it was good, or why that is unknown."""

    good_at: float | None
    # Why the vault did not confirm it, or why that is not known.
    reason: str
    # When the copy that confirmed it was last the same as the vault; nothing if the vault did.
    copy_of: str = ""


class Status(NamedTuple):
    """A status file that was read, until it is another one."""

    identity: Identity
    sources: dict[str, Any]


# The keys are paths. Entries are put and got as a whole, so that threads need no lock, and a fork
# finds none held.
_statuses: dict[Path, Status] = {}
_warned: dict[tuple[Path, str, float | None], object] = {}


def age(folder: Path, name: str) -> float | None:
    """Return the seconds since the vault last confirmed the credential, None when unknown."""
    return _age(_source(status_path(folder), name))


def copy_of(folder: Path, name: str) -> str:
    """Return the time of the copy of the vault that confirmed the credential last, or nothing.

    Nothing is for one that the vault itself has confirmed, and one of which that is not known.
    """
    return _source(status_path(folder), name).copy_of


def check(folder: Path, name: str, max_age: float | timedelta | None) -> None:
    """Raise StaleCredentialError, or warn, when the credential is older than the argument allows.

    Where there is no argument, the setting counts; where there is neither, nothing is checked. An
    age that is unknown is too old.
    """
    limit = max_age_setting() if max_age is None else _seconds(max_age)
    if limit is None:
        return
    policy = os.environ.get(_STALE) or "raise"
    if policy not in ("raise", "warn"):
        raise RaxError(f"{_STALE} is {policy!r}: set it to 'raise' or 'warn'")
    path = status_path(folder)
    source = _source(path, name)
    seconds = _age(source)
    if seconds is not None and seconds <= limit:
        return
    if seconds is None:
        reason = source.reason or "it is in the future: look at the clock of this node"
        problem = f"when the vault last confirmed {name} is not known: {reason}"
    else:
        because = f" ({source.reason})" if source.reason else ""
        by, look = "the vault", "look at the last run of refresh_credentials.yml"
        if source.copy_of:
            by = f"a copy of the vault of {source.copy_of}"
            look = "run refresh_credentials.yml on the controller, which renews it"
        problem = (
            f"{by} last confirmed {name} {span(math.ceil(seconds))} ago{because}, and "
            f"{span(limit)} are allowed; {look}"
        )
    if policy == "raise":
        raise StaleCredentialError(problem)
    # Warn once for each state that a refresh left, even when several threads ask at the same time.
    token = object()
    if _warned.setdefault((path, name, source.good_at), token) is token:
        warnings.warn(problem, StaleCredentialWarning, stacklevel=3)


def status_path(folder: Path) -> Path:
    """Return the status file of a directory of credentials."""
    return Path(f"{folder}.status.json")


def _age(source: _Source) -> float | None:
    if source.good_at is None:
        return None
    seconds = time.time() - source.good_at
    return max(seconds, 0.0) if seconds >= -_MAX_CLOCK_STEP_SECONDS else None


def _source(path: Path, name: str) -> _Source:
    """Look the source up in the status that is there now."""
    status = _statuses.get(path)
    try:
        if status is None or identity(os.lstat(path)) != status.identity:
            status = read_status(path)
    except FileNotFoundError:
        return _Source(None, f"{path} does not exist (has refresh_credentials.yml run here?)")
    except OSError as error:
        return _Source(None, f"{path}: {error.strerror}")
    except ValueError as error:
        return _Source(None, f"{path} {error}")
    source = status.sources.get(name)
    if source is None:
        return _Source(None, f"{path} does not have it")
    good_at, said = source.get("last_good_at"), source.get("error")
    reason = one_line(said, _MAX_REASON_CHARACTERS) if isinstance(said, str) else ""
    if good_at is None:
        return _Source(None, reason or f"{path} says that it never was")
    if not isinstance(good_at, str) or not _TIME.fullmatch(good_at):
        return _Source(None, f"{path} is damaged: last_good_at of {name} is not a time")
    try:
        confirmed = datetime.fromisoformat(good_at).timestamp()
    except ValueError:
        return _Source(None, f"{path} is damaged: last_good_at of {name} is not a time")
    return _Source(confirmed, reason, good_at if source.get("from_copy") is True else "")


def read_status(path: Path) -> Status:
    """Read and check the status; ValueError says what is wrong with it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status, now = os.fstat(descriptor), time.time_ns()
        # Whoever may write it could make any credential look fresh.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is not a regular file")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise ValueError("could have been written by others than root and this account")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
    finally:
        os.close(descriptor)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is damaged: it is not JSON") from None
    if not isinstance(document, dict) or document.get("version") != 1:
        raise ValueError("is not a status of version 1; is rax older than the deployment?")
    sources = document.get("sources")
    if not isinstance(sources, dict) or not all(isinstance(s, dict) for s in sources.values()):
        raise ValueError("is damaged: it has no sources")
    found = Status(identity(status), sources)
    if is_settled(status, now):
        _statuses[path] = found
    return found


def _seconds(max_age: float | timedelta) -> float | None:
    """Check the argument; None stands for no limit."""
    seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise RaxError(
            f"max_age is {max_age!r}: give seconds or a timedelta, more than none; "
            "math.inf is no limit"
        )
    # math.isinf() takes no whole number that a float cannot hold.
    return None if seconds == math.inf else seconds


def max_age_setting() -> float | None:
    """Return ``RAX_CREDENTIALS_MAX_AGE`` in seconds; None is no limit.

    :raises RaxError: it is not an age
    """
    return _parsed(os.environ.get(_MAX_AGE, ""))


@functools.cache
def _parsed(text: str) -> float | None:
    """Return the seconds of an age such as 12h; None for 0 and for nothing.

    >>> _parsed("90m"), _parsed("43200"), _parsed("0"), _parsed("")
    (5400.0, 43200.0, None, None)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", text or "0", re.ASCII)
    if not match:
        raise RaxError(
            f"{_MAX_AGE} is {text!r}: give seconds, or a number with s, m, h or d, such as 12h"
        )
    return float(match[1]) * _UNITS[match[2]] or None
