# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of accounts, made by root without being led anywhere else on the way.

Below a directory of another account, every name is that account's to swap: for a link, or for a
directory that it has moved there. So root walks by descriptors, follows no link but its own, and
from the first directory of another account on, everything is done as that account: what it may
not do by itself, the kernel refuses.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import stat
from collections.abc import Iterator

from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import (
    Attributes,
    Changes,
    LockedFileError,
    MissingDirectoryError,
    names,
    split_path,
    status,
)

MAX_LINKS = 20
PARENT_MODE = 0o755
ROOT = 0
_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEAF = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = 0o022
# An empty file system has this in it.
_LOST = "lost+found"


def parse_mode(text: str) -> int:
    """Return the mode that a text gives in octal."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise LockedFileError(f"mode {text!r}: write it as a quoted octal number, such as '0750'")
    return int(text, 8)


def ensure(path: str, wanted: Attributes, *, check_mode: bool = False) -> Changes:
    """Make a directory, or give one of this account its group and mode; return kind → (was, is).

    Raises LockedFileError for what is in the way, and for a directory of another account.
    """
    for _link in range(MAX_LINKS):
        target = _ensure(path, wanted, check_mode)
        if not isinstance(target, str):
            return target
        path = target
    raise LockedFileError("the links on the way do not end")


def open_directory(path: str) -> int:
    """Open a directory that is there; links on the way are followed if nobody but root made them.

    Raises MissingDirectoryError, and LockedFileError for what is in the way.
    """
    for _link in range(MAX_LINKS):
        reached = _enter(path, check_mode=True)
        if reached is None:
            raise MissingDirectoryError(f"{path} does not exist: create it first")
        if isinstance(reached, str):
            path = reached
            continue
        try:
            return os.open(".", _LEAF, dir_fd=reached[0])
        finally:
            os.close(reached[0])
    raise LockedFileError("the links on the way do not end")


def _ensure(path: str, wanted: Attributes, check_mode: bool) -> Changes | str:
    """Do what ensure says, or return the path that a link of root's makes of this one."""
    parent, name = split_path(path)
    reached = _enter(parent, check_mode)
    if reached is None:
        return {"state": ("absent", "directory")}
    if isinstance(reached, str):
        return f"{reached.rstrip('/')}/{name}"
    descriptor, account = reached
    try:
        if account not in (ROOT, wanted.uid):
            raise LockedFileError(
                f"it is in a directory of {_name(account)}, who could swap it, and is to belong to"
                f" {_name(wanted.uid)}: name one whose parent directories are all root's"
            )
        found = status(name, descriptor)
        if found is None:
            if not check_mode:
                _make(name, wanted, descriptor, account)
            return {"state": ("absent", "directory")}
        if stat.S_ISLNK(found.st_mode):
            return _follow(name, descriptor, account, parent)
        return _repair(name, wanted, descriptor, account, check_mode)
    finally:
        os.close(descriptor)


def _enter(path: str, check_mode: bool) -> tuple[int, int] | str | None:
    """Open a directory, which is made where it is missing, and tell whose rooms it is in.

    Return its descriptor, and the account that the first directory on the way belongs to that is
    not root's; or the path that a link of root's makes of this one; or None for one that check
    mode does not make.
    """
    descriptor, account, here = os.open("/", _WAY), ROOT, ""
    parts = path.split("/")[1:] if path != "/" else []
    try:
        for number, part in enumerate(parts):
            found = status(part, descriptor)
            if found is None:
                if check_mode:
                    return None
                with acting_as(account):
                    os.mkdir(part, PARENT_MODE, dir_fd=descriptor)
            elif stat.S_ISLNK(found.st_mode):
                return "/".join([_follow(part, descriptor, account, here), *parts[number + 1 :]])
            here = f"{here}/{part}"
            inner = _open(part, _WAY, descriptor, here)
            os.close(descriptor)
            descriptor = inner
            account = account or os.fstat(descriptor).st_uid
        result, descriptor = (descriptor, account), -1
        return result
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _follow(name: str, descriptor: int, account: int, here: str) -> str:
    """Return where a link leads, if nobody but root can have made it."""
    path = f"{here}/{name}"
    link, folder = os.stat(name, dir_fd=descriptor, follow_symlinks=False), os.fstat(descriptor)
    target = os.readlink(name, dir_fd=descriptor)
    if account != ROOT or link.st_uid != ROOT or folder.st_mode & _OTHERS_WRITE:
        raise LockedFileError(
            f"{path} is a link to {target!r} that {_name(account or link.st_uid)} may have made:"
            " look where it comes from and remove it"
        )
    return os.path.normpath(target if target.startswith("/") else f"{here}/{target}")


def _open(name: str, flags: int, descriptor: int, path: str) -> int:
    """Open a directory; raise LockedFileError for anything else of this name."""
    try:
        return os.open(name, flags, dir_fd=descriptor)
    except NotADirectoryError:
        raise LockedFileError(
            f"{path} is a link or no directory: look where it comes from and remove it"
        ) from None


def _make(name: str, wanted: Attributes, descriptor: int, account: int) -> None:
    with acting_as(account):
        os.mkdir(name, 0o700, dir_fd=descriptor)
    leaf = _open(name, _LEAF, descriptor, name)
    try:
        _set(leaf, wanted, account)
    finally:
        os.close(leaf)


def _repair(
    name: str, wanted: Attributes, descriptor: int, account: int, check_mode: bool
) -> Changes:
    leaf = _open(name, _LEAF, descriptor, name)
    try:
        found = os.fstat(leaf)
        # A new mount point is root's and empty, so nobody loses anything by giving it away.
        unused = found.st_uid == account == ROOT and not {*names(leaf)} - {_LOST}
        if found.st_uid != wanted.uid and not unused:
            raise LockedFileError(
                f"it is there, belongs to {_name(found.st_uid)} and is not taken away: name another"
                f" directory, or give this one to {_name(wanted.uid)} yourself"
            )
        mode = stat.S_IMODE(found.st_mode)
        pairs = {
            "owner": (str(found.st_uid), str(wanted.uid)),
            "group": (str(found.st_gid), str(wanted.gid)),
            "mode": (f"{mode:04o}", f"{wanted.mode:04o}"),
        }
        changes = {kind: pair for kind, pair in pairs.items() if pair[0] != pair[1]}
        if changes and not check_mode:
            _set(leaf, wanted, account)
        return changes
    finally:
        os.close(leaf)


def _set(leaf: int, wanted: Attributes, account: int) -> None:
    """Give an open directory its owner, group and mode, as the account in whose rooms it is."""
    with acting_as(account):
        os.fchown(leaf, wanted.uid, wanted.gid)
        os.fchmod(leaf, wanted.mode)


@contextlib.contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Act with the rights of an account and no others; a process that is not root keeps its own."""
    if uid == ROOT or os.geteuid() != ROOT:
        yield
        return
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        raise LockedFileError(
            f"a directory on the way belongs to the user id {uid}, which is no account of this"
            " host: give it to root or to an account"
        ) from None
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(account.pw_name, account.pw_gid))
    os.setegid(account.pw_gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(ROOT)
        os.setegid(gid)
        os.setgroups(groups)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user id {uid}"
