# SPDX-License-Identifier: Apache-2.0
"""``rax credentials doctor``: what is wrong with files, directory and freshness, and what to do."""

import contextlib
import grp
import math
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rax._layout import duration
from rax.cli._account import current
from rax.cli._credential_states import State, Status, age, copy_of, read_status, states
from rax.credentials import _freshness, list_credentials
from rax.credentials._files import directory
from rax.errors import RaxError

# The refresh comes every ten minutes, unless a site wants it otherwise.
_DEFAULT_MAX_AGE_SECONDS = 86400.0

_REFRESH = (
    "refresh the credentials (playbooks/refresh_credentials.yml, or"
    " `systemctl start caspian-refresh` on the control node)"
)
_RECORD = f"put the record right in the vault, then {_REFRESH}"
_DECLARE = f"is it in credentials_sources, with this node among its hosts? Then {_REFRESH}"
_CLOCK = "; a time in the future is one of a wrong clock"
_ACCESS_LIST = "system.posix_acl_access"
_OTHERS_WRITE = 0o022
# What the refresh gives root's directory.
_DIRECTORY_MODE = 0o750


class Finding(NamedTuple):
    """Something that is wrong with a credential, or with a path."""

    what: str
    problem: str
    advice: str
    # One of those that docs/operations.md lists.
    kind: str


# What a finding is about, for monitoring.
_INSECURE = "credentials-insecure"
_MISSING = "credentials-missing"
_UNREADABLE = "credentials-unreadable"
_STALE = "credentials-stale"


def examine(names: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """Return what was looked at and what is wrong with it; the directory is looked at always.

    :param names: of credentials; none is all that this node has or should have
    :raises RaxError: ``RAX_CREDENTIALS_MAX_AGE`` is not an age
    """
    status = read_status()
    copied = max(map(copy_of, status.sources), default="")
    # A copy of the vault is as old as whoever brings it there lets it be.
    default = math.inf if copied else _DEFAULT_MAX_AGE_SECONDS
    limit = _freshness.max_age_setting() or default
    findings = [*_directory_findings(directory())]
    try:
        known = {*list_credentials(), *status.sources}
    except RaxError as error:
        # The reason is usually among the findings already.
        return [], findings or [Finding(str(directory()), str(error), _REFRESH, _UNREADABLE)]
    looked = sorted({*names} or known)
    # The ages of all of them, also of those that are not looked at.
    ages = [age(name) for name in status.sources]
    refreshed = min((seconds for seconds in ages if seconds is not None), default=None)
    findings += _status_findings(status, refreshed, copied, limit)
    is_fresh = refreshed is not None and refreshed <= limit
    for state in states(status, looked):
        findings += _findings(state, status, limit if is_fresh else None)
    return looked, findings


# The directory


def _directory_findings(path: Path) -> Iterator[Finding]:
    """Look at the folders on the way to the directory, then at itself, as far as one gets."""
    for folder in _way(path):
        try:
            status = folder.stat()
        except OSError:
            break
        yield from _folder_findings(folder, status)
        if not os.access(folder, os.X_OK, effective_ids=True):
            problem, advice = _why_denied(
                folder, status, "entered", stat.S_IXGRP, f"`chmod g+x {folder}`, as its owner"
            )
            yield Finding(str(folder), problem, advice, _UNREADABLE)
            return
    try:
        link, status = path.lstat(), path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            problem = f"is a link to {path.readlink()}, which does not exist"
        else:
            problem = "does not exist"
        advice = f"{_REFRESH}; the inventory has to have this node"
        yield Finding(str(path), problem, advice, _MISSING)
        return
    except OSError as error:
        yield Finding(str(path), f"cannot be looked at: {error.strerror}", _REFRESH, _UNREADABLE)
        return
    if stat.S_ISLNK(link.st_mode) and not _trusted(link):
        yield Finding(
            str(path),
            f"is a link that belongs to {_account(link.st_uid)}, who may lead it elsewhere",
            f"remove the link, then {_REFRESH}",
            _INSECURE,
        )
    if not stat.S_ISDIR(status.st_mode):
        yield Finding(str(path), "is not a directory", f"move it away, then {_REFRESH}", _MISSING)
        return
    yield from _published_findings(path, status)


def _way(path: Path) -> list[Path]:
    """Return the folders above the directory and above what it is a link to, the highest first."""
    folders = {*path.parents}
    with contextlib.suppress(OSError, RuntimeError):
        folders |= {*path.resolve().parents}
    return sorted(folders, key=lambda folder: (len(folder.parts), folder))


def _folder_findings(folder: Path, status: os.stat_result) -> Iterator[Finding]:
    if not _trusted(status):
        owner = _account(status.st_uid)
        yield Finding(
            str(folder),
            f"belongs to {owner}, who may replace what is in it",
            "give it to root, with `chown root`",
            _INSECURE,
        )
    mode = stat.S_IMODE(status.st_mode)
    # In a sticky folder, such as /tmp, others cannot replace what is not theirs.
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        yield Finding(
            str(folder),
            f"has the mode {mode:04o}: others may replace what is in it",
            "take that away, with `chmod go-w`",
            _INSECURE,
        )


def _published_findings(path: Path, status: os.stat_result) -> Iterator[Finding]:
    mode = stat.S_IMODE(status.st_mode)
    if not _trusted(status):
        owner = _account(status.st_uid)
        problem = f"belongs to {owner}, who may replace the files"
        yield Finding(str(path), problem, _REFRESH, _INSECURE)
    if mode & _OTHERS_WRITE:
        problem = f"has the mode {mode:04o}: others may add and remove files"
        yield Finding(str(path), problem, _REFRESH, _INSECURE)
    elif status.st_uid == 0 and mode & ~_DIRECTORY_MODE:
        problem = f"has the mode {mode:04o}, wider than {_DIRECTORY_MODE:04o}"
        yield Finding(str(path), problem, _REFRESH, _INSECURE)
    if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
        problem, advice = _why_denied(path, status, "read", stat.S_IRGRP | stat.S_IXGRP)
        yield Finding(str(path), problem, advice, _UNREADABLE)


def _trusted(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user id {number}"


def _why_denied(
    path: Path,
    status: os.stat_result,
    what: str,
    wanted: int,
    repair: str = f"{_REFRESH}, which repairs its mode",
) -> tuple[str, str]:
    """Say why this account may not read or enter something, and what to do about that.

    :param wanted: what the group has to be allowed
    :param repair: what to do where it is not
    """
    account = current()
    mode = stat.S_IMODE(status.st_mode)
    try:
        group = grp.getgrgid(status.st_gid)
        name, members = group.gr_name, group.gr_mem
    except KeyError:
        name, members = str(status.st_gid), []
    problem = (
        f"cannot be {what} by {account}: it has the mode {mode:04o} and belongs to"
        f" {_account(status.st_uid)} and the group {name}"
    )
    if mode & wanted != wanted:
        return problem, repair
    if status.st_gid in {os.getegid(), *os.getgroups()}:
        return problem, f"look whether it has an access list: `getfacl {path}`"
    if account in members:
        return (
            f"{problem}, which {account} has joined since this log-in",
            "log in anew",
        )
    return (
        f"{problem}, in which {account} is not",
        f"`sudo rax …` looks as the tasks do; or `sudo usermod -aG {name} {account}`, and log in"
        " anew: who is in that group can read every password of this node",
    )


# The refresh


def _status_findings(
    status: Status, refreshed: float | None, copied: str, limit: float
) -> Iterator[Finding]:
    if status.problem:
        yield Finding(str(status.path), status.problem, f"{_REFRESH}, which writes it", _STALE)
    elif copied and refreshed is not None and refreshed > limit:
        yield Finding(
            str(status.path),
            f"a credential was last confirmed {duration(refreshed)} ago, against a copy of the"
            f" vault of {copied}, and {duration(limit)} are allowed",
            "run playbooks/refresh_credentials.yml on the controller, which renews the copy",
            _STALE,
        )
    elif refreshed is not None and refreshed > limit:
        yield Finding(
            str(status.path),
            f"the vault last confirmed a credential {duration(refreshed)} ago, and"
            f" {duration(limit)} are allowed",
            "look at `journalctl -u caspian-refresh` on the control node, then refresh",
            _STALE,
        )


# A credential


def _findings(state: State, status: Status, limit: float | None) -> Iterator[Finding]:
    """Look at one credential; without a limit, nothing is said of its age.

    That is where all are too old, which is one finding of its own.
    """
    name, path = state.name, directory() / f"{state.name}.json"
    if state.error:
        yield _refused(state, path)
    with contextlib.suppress(OSError):
        yield from (Finding(name, *wrong, _INSECURE) for wrong in _drift(path))
    if state.error or status.problem:
        return
    if state.state == "kept":
        of = "" if state.age is None else f" of {duration(state.age)} ago"
        problem = f"the last good file{of} is kept: {state.problem or 'its record was missing'}"
        yield Finding(name, problem, _RECORD, "credentials-kept")
    elif name not in status.sources:
        yield Finding(
            name,
            "is not in the status: no refresh has delivered this file",
            "declare it in credentials_sources, or remove the file",
            "credentials-undeclared",
        )
    elif state.age is None:
        problem = "when the vault last confirmed it is not known"
        yield Finding(name, problem, f"{_REFRESH}{_CLOCK}", _STALE)
    elif limit is not None and state.age > limit:
        yield Finding(
            name,
            f"the vault last confirmed it {duration(state.age)} ago, and {duration(limit)} are"
            " allowed; others were confirmed since",
            f"{_REFRESH}, without credentials_only",
            _STALE,
        )


def _refused(state: State, path: Path) -> Finding:
    if state.state == "missing":
        delivered = "was delivered, and is gone" if state.age is not None else "is not here"
        if state.problem and state.problem != str(state.error):
            return Finding(state.name, f"there is no file: {state.problem}", _RECORD, _MISSING)
        return Finding(state.name, f"{delivered}: {state.error}", _DECLARE, _MISSING)
    if state.state == "unreadable":
        with contextlib.suppress(OSError):
            problem, advice = _why_denied(path, path.stat(), "read", stat.S_IRGRP)
            return Finding(state.name, f"{path}: {problem}", advice, _UNREADABLE)
    if state.state == "insecure":
        advice = f"{_REFRESH}, which makes it anew; rotate the password if others could read it"
        return Finding(state.name, str(state.error), advice, _INSECURE)
    return Finding(state.name, str(state.error), _REFRESH, f"credentials-{state.state}")


def _drift(path: Path) -> Iterator[tuple[str, str]]:
    """Say what opens a file to others although its mode is right."""
    links = path.lstat().st_nlink
    if links > 1 and path.is_file():
        yield (
            f"{path}: has {links} names: another one may be where others read it",
            f"{_REFRESH}, which makes it anew; find the other with `find / -samefile {path}`",
        )
    if _ACCESS_LIST in os.listxattr(path, follow_symlinks=False):
        yield (
            f"{path}: has an access list, by which others may read it",
            f"{_REFRESH}, which repairs it",
        )
