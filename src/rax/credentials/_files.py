# SPDX-License-Identifier: Apache-2.0
"""The files of credentials: opened, checked and read while whole sets of them are replaced."""

import contextlib
import errno
import json
import os
import re
import stat
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rax import _file_identity
from rax._environment import setting
from rax._file_identity import Identity
from rax.errors import (
    CredentialNotFoundError,
    InsecureCredentialError,
    MalformedCredentialError,
    UnreadableCredentialError,
)

DEFAULT_DIRECTORY = "/etc/airflow/credentials"
FIELDS = ("user", "pass", "host", "url", "description", "metadata")
# What the vault protects, by field or as metadata.KEY; files from before it was written lack it.
PROTECTED = "protected"
SUFFIX = ".json"

# A safe file name, as the module that writes the files has it.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_REFRESHED = " (has refresh_credentials.yml run for this node?)"
# How often to look at a directory that is being replaced.
_MAX_ATTEMPTS = 5
# What is frozen and searched for secrets level by level must not exhaust Python's stack.
_MAX_DEPTH = 100
# Only these errors say that a file is not there; too many open files, for one, says nothing of it.
_ABSENT = (errno.ENOENT, errno.ENAMETOOLONG)


class File(NamedTuple):
    """What a file held, and when it has to be read again."""

    values: dict[str, Any]
    # None if the file changed so recently that a further change might not show.
    identity: Identity | None


def directory() -> Path:
    """Return the directory of the credentials."""
    return Path(setting("RAX_CREDENTIALS_DIR") or DEFAULT_DIRECTORY)


def is_name(name: str) -> bool:
    """Return whether a text can be the name of a file in the directory."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raise CredentialNotFoundError for what cannot be the name of a file in the directory."""
    if not isinstance(name, str) or not is_name(name):
        raise CredentialNotFoundError(f"{name!r} is not the name of a credential")


def identity(status: os.stat_result) -> Identity:
    """Return the identity of a file that this account has been allowed to read."""
    return (_file_identity.identity(status), os.geteuid())


def read(folder: Path, name: str) -> File:
    """Read a credential through one descriptor, which is checked before it is read."""
    check_name(name)
    # Nothing that this frame holds when it raises has the file's content in it, and no
    # JSONDecodeError, which keeps the whole document, becomes the context of the error.
    file, problem = _read(folder, name)
    if file is None:
        raise MalformedCredentialError(f"{folder / name}{SUFFIX}: {problem}")
    return file


def names(folder: Path) -> list[str]:
    """Return the names of the credentials in the directory that is published now, sorted."""
    try:
        files = _list(folder)
    except OSError as error:
        _raise_unavailable(folder, error)
    found = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
    return sorted(filter(_NAME.fullmatch, found))


def insecure(status: os.stat_result) -> str | None:
    """Say what is wrong with a file by libpq's rule for private keys; None if nothing is."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid == 0:
        allowed = 0o640
    elif status.st_uid == os.geteuid():
        allowed = 0o600
    else:
        return f"belongs to the user id {status.st_uid}, neither to root nor to this process"
    if mode & ~allowed:
        return f"has the mode {mode:04o}, wider than {allowed:04o}; refresh the credentials"
    return None


def _read(folder: Path, name: str) -> tuple[File | None, str]:
    path = folder / f"{name}{SUFFIX}"
    try:
        descriptor = _open(folder, path.name)
    except FileNotFoundError:
        raise CredentialNotFoundError(
            f"no credential {name!r} in {folder}: {_available(folder)}"
        ) from None
    except OSError as error:
        # A link gives ELOOP, and a socket ENXIO.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise InsecureCredentialError(f"{path}: is not a regular file") from None
        _raise_unavailable(path, error)
    try:
        status, now = os.fstat(descriptor), time.time_ns()
        if problem := insecure(status):
            raise InsecureCredentialError(f"{path}: {problem}")
        with open(descriptor, "rb", closefd=False) as file:
            values, problem = parse(file.read())
    except OSError as error:
        _raise_unavailable(path, error)
    finally:
        os.close(descriptor)
    if values is None:
        return None, problem or ""
    return File(values, identity(status) if _file_identity.is_settled(status, now) else None), ""


# A refresh replaces the whole directory and removes the one before. Who has just resolved the link
# to that one may find it gone, or emptied, and has to look again.


def _open(folder: Path, file: str) -> int:
    """Open the file in the directory that is published now."""
    # Without O_NONBLOCK, opening a FIFO would wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _attempt in range(_MAX_ATTEMPTS):
        descriptor = _open_directory(folder)
        try:
            return os.open(file, flags, dir_fd=descriptor)
        except FileNotFoundError:
            if _is_published(descriptor, folder):
                raise
        finally:
            os.close(descriptor)
    raise OSError(errno.EBUSY, "is replaced all the time")


def _list(folder: Path) -> list[str]:
    """List the files of the directory that is published now."""
    for _attempt in range(_MAX_ATTEMPTS):
        descriptor = _open_directory(folder)
        try:
            files = os.listdir(descriptor)  # noqa: PTH208 - of a descriptor
            if _is_published(descriptor, folder):
                return files
        finally:
            os.close(descriptor)
    raise OSError(errno.EBUSY, "is replaced all the time")


def _open_directory(folder: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    for _attempt in range(_MAX_ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError):
            return os.open(folder, flags)
    return os.open(folder, flags)


def _is_published(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def parse(content: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return the fields of a file, or None and what is wrong, without a word of the content."""
    try:
        # Given bytes, json would take UTF-16, and raw halves of characters.
        document = json.loads(content.decode("utf-8-sig"))
        halves = b"\\u" in content and _has_surrogate(document)
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    except json.JSONDecodeError as error:
        return None, f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        return None, "is not JSON: a number has too many digits, or it is nested too deeply"
    if not isinstance(document, dict):
        return None, "is not a JSON object"
    for key in FIELDS:
        kind, article = (dict, "an object") if key == "metadata" else (str, "a string")
        if key not in document:
            return None, f"{key} is missing"
        if not isinstance(document[key], kind):
            return None, f"{key} is not {article}"
    if _is_deep(document["metadata"]):
        return None, f"metadata is nested more than {_MAX_DEPTH} deep"
    if halves:
        return (
            None,
            r"has half a character (an escape from \ud800 to \udfff without its other half)",
        )
    values = {key: document[key] for key in FIELDS}
    if PROTECTED in document:
        names = document[PROTECTED]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None, f"{PROTECTED} is not a list of strings"
        values[PROTECTED] = names
    return values, ""


def _has_surrogate(document: Any) -> bool:
    # A surrogate is no character: neither URLs nor sockets could take it.
    return re.search("[\ud800-\udfff]", json.dumps(document, ensure_ascii=False)) is not None


def _is_deep(metadata: dict[str, Any]) -> bool:
    level: list[Any] = [metadata]
    for _level in range(_MAX_DEPTH):
        values = (one.values() if isinstance(one, dict) else one for one in level)
        level = [item for items in values for item in items if isinstance(item, dict | list)]
    return bool(level)


def _available(folder: Path) -> str:
    try:
        found = names(folder)
    except UnreadableCredentialError:
        raise
    except CredentialNotFoundError:
        return f"there is no such folder{_NOT_REFRESHED}"
    if not found:
        return "it is empty"
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    return f"it has {', '.join(found[:20])}{more}"


def _raise_unavailable(path: Path, error: OSError) -> NoReturn:
    kind = CredentialNotFoundError if error.errno in _ABSENT else UnreadableCredentialError
    advice = ""
    if isinstance(error, PermissionError):
        advice = " (tasks run as the user airflow; a person must be in its group)"
    elif isinstance(error, FileNotFoundError):
        advice = _NOT_REFRESHED
    raise kind(f"{path}: {error.strerror}{advice}") from None
