# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with secrets, which are made at mode 0 under a random name and published by one rename.

Everything works relative to the descriptor of a directory that was reached without
following a link, so a path that is swapped meanwhile leads nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import grp
import os
import pwd
import re
import secrets
import stat
from typing import Any

# The group may read; nobody but the owner writes; others have nothing.
ALLOWED_MODE = 0o750
# Of more files than these, the whole file system is brought to the disk at once.
MAX_SINGLE_SYNCS = 64

# Kind of change → (found, wanted).
Changes = dict[str, tuple[str, str]]

_ACL = "system.posix_acl_access"
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO put in the place of a file must not hold us.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LockedFileError(Exception):
    """What a task asks for is refused; the message says what to do and quotes no content."""


class MissingDirectoryError(LockedFileError):
    """A directory on the way does not exist."""


class UnknownAccountError(LockedFileError):
    """The owner or the group does not exist on this host."""


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Who owns a file, and its exact mode."""

    uid: int
    gid: int
    mode: int


def parse_mode(text: str) -> int:
    """Return the mode that a text gives in octal, if a secret may have it."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise LockedFileError(f"mode {text!r}: write it as a quoted octal number, such as '0400'")
    mode = int(text, 8)
    if not mode or mode & ~ALLOWED_MODE:
        raise LockedFileError(
            f"mode {text!r}: a secret grants nothing to others and no writing to its group"
            " (a number without quotes is read as a decimal one: write '0400')"
        )
    return mode


def accounts(owner: str, group: str | None) -> tuple[int, int]:
    """Return the ids of owner and group, given by name or number; without a group, the owner's."""
    try:
        uid = int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
        gid = pwd.getpwuid(uid).pw_gid if group is None else _group_id(group)
    except KeyError:
        raise UnknownAccountError(f"there is no user {owner!r} on this host") from None
    if os.geteuid() not in (0, uid):
        raise LockedFileError(
            f"only root can give files to {owner!r}: run as root (become: true), or name the"
            " account that this runs as"
        )
    return uid, gid


def _group_id(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise UnknownAccountError(f"there is no group {group!r} on this host") from None


def attributes(owner: str, group: str | None, mode: int) -> Attributes:
    """Return the attributes of a file; owner and group are given by name or number."""
    return Attributes(*accounts(owner, group), mode)


def encode(content: str) -> bytes:
    """Return the bytes of a content that Ansible has decoded."""
    try:
        return content.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise LockedFileError("content is no valid Unicode text") from None


def split_path(path: str) -> tuple[str, str]:
    """Split an absolute path into its directory and its last name."""
    parts = path.split("/")[1:]
    if not path.startswith("/") or not all(parts) or {".", ".."} & set(parts) or "\0" in path:
        raise LockedFileError(f"{path!r}: give an absolute path without '.', '..' or '//'")
    return "/" + "/".join(parts[:-1]), parts[-1]


def open_directory(path: str) -> int:
    """Open a directory by its absolute path; no part of it may be a symbolic link."""
    descriptor = os.open("/", _OPEN_DIRECTORY)
    parts = [part for part in path.split("/") if part]
    for number, part in enumerate(parts, start=1):
        # Only the last directory is read; the ones before need no more than search permission.
        flags = _OPEN_DIRECTORY if number == len(parts) else _OPEN_DIRECTORY | os.O_PATH
        here = "/" + "/".join(parts[:number])
        try:
            inner = os.open(part, flags, dir_fd=descriptor)
        except FileNotFoundError:
            raise MissingDirectoryError(f"{here} does not exist: create it first") from None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise LockedFileError(
                    f"{here} is a symbolic link or not a directory: secrets are not written"
                    " through links; give the real path"
                ) from None
            raise
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def open_inner_directory(name: str, dir_fd: int) -> int:
    """Open the directory ``name`` in ``dir_fd``; a link fails with ENOTDIR or ELOOP."""
    return os.open(name, _OPEN_DIRECTORY, dir_fd=dir_fd)


def status(name: str, dir_fd: int) -> os.stat_result | None:
    """Describe what lies at ``name`` itself, None when nothing does."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def names(dir_fd: int) -> list[str]:
    """List what an open directory holds."""
    return sorted(os.listdir(dir_fd))


def read(name: str, dir_fd: int, max_bytes: int = -1) -> bytes:
    """Return the content of a regular file, at most so much; other things raise OSError."""
    descriptor = _open_file(name, dir_fd)
    if descriptor is None:
        raise OSError(errno.EINVAL, "not a regular file", name)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(max_bytes)


def differences(
    name: str, content: bytes, wanted: Attributes, dir_fd: int, links: int | None = 1
) -> Changes:
    """Return what is wrong with an existing file: kind → (found, wanted), without contents.

    ``links`` is how many names the file may have, None for any number.
    """
    try:
        descriptor = _open_file(name, dir_fd)
    except PermissionError:  # Only for an account that is not root.
        return {"access": ("denied", "granted")}
    if descriptor is None:
        return {"type": ("not a regular file", "regular file")}
    try:
        found = os.fstat(descriptor)
        wrong = attribute_differences(descriptor, wanted)
        if links is not None and found.st_nlink > links:
            wrong["links"] = (str(found.st_nlink), str(links))
        if found.st_size != len(content) or not _holds(descriptor, content):
            wrong["content"] = ("another", "as given")
    finally:
        os.close(descriptor)
    return wrong


def attribute_differences(descriptor: int, wanted: Attributes) -> Changes:
    """Return how owner, group, mode and access list of an open file differ."""
    found = os.fstat(descriptor)
    mode = stat.S_IMODE(found.st_mode)
    wrong = {}
    if found.st_uid != wanted.uid:
        wrong["owner"] = (str(found.st_uid), str(wanted.uid))
    if found.st_gid != wanted.gid:
        wrong["group"] = (str(found.st_gid), str(wanted.gid))
    if mode != wanted.mode:
        wrong["mode"] = (f"{mode:04o}", f"{wanted.mode:04o}")
    if _has_acl(descriptor):
        wrong["acl"] = ("present", "none")
    return wrong


def set_attributes(descriptor: int, wanted: Attributes) -> None:
    """Give an open file or directory its owner and mode, at no moment more than that."""
    # A default ACL of the directory would come to life with the group bits of the mode.
    with contextlib.suppress(OSError):
        os.removexattr(descriptor, _ACL)
    os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & wanted.mode)
    os.fchown(descriptor, wanted.uid, wanted.gid)
    os.fchmod(descriptor, wanted.mode)


def create(name: str, content: bytes, wanted: Attributes, dir_fd: int) -> None:
    """Make a new file; what is there already is not touched. Call ``sync`` before publishing it."""
    descriptor = os.open(name, _CREATE, 0, dir_fd=dir_fd)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        set_attributes(descriptor, wanted)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    finally:
        os.close(descriptor)


def sync(name: str, dir_fd: int) -> None:
    """Bring a file to the disk."""
    descriptor = os.open(name, _READ, dir_fd=dir_fd)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    finally:
        os.close(descriptor)


def sync_all(files: list[str], dir_fd: int) -> None:
    """Bring files to the disk that were made since ``dir_fd`` was opened."""
    if len(files) > MAX_SINGLE_SYNCS and sync_file_system(dir_fd):
        return
    for name in files:
        sync(name, dir_fd)


def sync_file_system(dir_fd: int) -> bool:
    """Bring a whole file system to the disk; False if this kernel would not tell of errors.

    A thousand files take as long as a few, but so does what else was written there.
    """
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if not version or (int(version[1]), int(version[2])) < (5, 8):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(dir_fd):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True


def replace(name: str, content: bytes, wanted: Attributes, dir_fd: int) -> None:
    """Put a new file in the place of whatever non-directory ``name`` is, in one step."""
    temporary = temporary_name(name)
    try:
        create(temporary, content, wanted, dir_fd)
        sync(temporary, dir_fd)
        publish(temporary, name, dir_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=dir_fd)
        raise


def temporary_name(name: str) -> str:
    """Return a name that nobody can guess, for what is to become the file ``name``."""
    return f".{name}.{secrets.token_hex(8)}.tmp"


def publish(temporary: str, name: str, dir_fd: int) -> None:
    """Rename a file that is complete, and bring that to the disk."""
    os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    os.fsync(dir_fd)


def leftovers(name: str, dir_fd: int) -> list[str]:
    """List the temporary files that a killed ``replace`` of ``name`` has left."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.tmp")
    return sorted(found for found in names(dir_fd) if pattern.fullmatch(found))


def clear_leftovers(name: str, dir_fd: int, check_mode: bool) -> Changes:
    """Refuse what is no file; remove what a killed run has left; return kind → (found, wanted)."""
    found = status(name, dir_fd)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise LockedFileError(
            "there is a symbolic link or something else that is not a regular file:"
            " look where it comes from and remove it"
        )
    left = leftovers(name, dir_fd)
    if not check_mode:
        for leftover in left:
            os.unlink(leftover, dir_fd=dir_fd)
    return {"leftover": ("present", "absent")} if left else {}


def remove(name: str, dir_fd: int, check_mode: bool) -> Changes:
    """Remove a file that need not be there, and its leftovers; return kind → (found, wanted)."""
    changes = clear_leftovers(name, dir_fd, check_mode)
    if status(name, dir_fd) is None:
        return changes
    if not check_mode:
        os.unlink(name, dir_fd=dir_fd)
        os.fsync(dir_fd)
    return {**changes, "removed": ("present", "absent")}


def changes_diff(path: str, changes: Changes) -> dict[str, Any]:
    """Return what Ansible shows of changes with --diff."""
    return {
        "before_header": path,
        "after_header": path,
        "before": {kind: found for kind, (found, _wanted) in changes.items()},
        "after": {kind: wanted for kind, (_found, wanted) in changes.items()},
    }


def _open_file(name: str, dir_fd: int) -> int | None:
    """Open an existing regular file, None when it is anything else."""
    try:
        descriptor = os.open(name, _READ, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # A link, a socket.
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _holds(descriptor: int, content: bytes) -> bool:
    """Whether an open file of the right size reads as ``content``."""
    if os.read(descriptor, len(content) + 1) == content:
        return True
    os.lseek(descriptor, 0, os.SEEK_SET)  # Another content, or one that took several reads.
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read() == content


def _has_acl(descriptor: int) -> bool:
    try:
        os.getxattr(descriptor, _ACL)
    except OSError:
        return False
    return True
