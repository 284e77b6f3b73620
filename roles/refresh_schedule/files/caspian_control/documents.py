# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON files of others, read with bounds and types, and files of ours, replaced as a whole."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from caspian_control.text import one_line, without_secrets

MAX_FILE_BYTES = 64 * 2**20


class ReportError(Exception):
    """What makes a file unusable; its message is for a person and holds none of its content."""


class Report(Protocol):
    """What a run leaves: what tells it from the one before."""

    @property
    def identity(self) -> str:
        """The same for the same report."""


R = TypeVar("R", bound=Report)


def read_report(path: Path, parse: Callable[[Any], R], last: str) -> tuple[R | None, str, str]:
    """Return a run's report, or why there is none, or why it cannot be used.

    `last` is the identity of the report of the run before.
    """
    try:
        if (document := read_json(path)) is None:
            return None, f"it left no report at {path}", ""
        found = parse(without_secrets(document))
    except ReportError as error:
        return None, "", f"its report cannot be used: {error}"
    if found.identity == last:
        return None, f"{path} is the report of an earlier run", ""
    return found, "", ""


def read_json(path: Path) -> Any:
    """Return a file's document, or None if there is no such file."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ReportError(f"{path} is not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise ReportError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
            content = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from None
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        raise ReportError(f"{path} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ReportError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise ReportError(f"{path} is not JSON that can be read") from None


def _open_without_waiting(name: str, flags: int) -> int:
    """Open a file; a FIFO would wait for its writer."""
    return os.open(name, flags | os.O_NONBLOCK)


def replace(path: Path, content: str, mode: int) -> None:
    """Replace a file; whoever holds the lock is alone with the temporary name."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def timestamp(seconds: int) -> str:
    """Return a time as the report writes it."""
    if not seconds:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Fields:
    """A JSON object, read with types; its name is for messages."""

    def __init__(self, value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise ReportError(f"{name} is not an object")
        self.values = value
        self.name = name

    def get(self, key: str, kind: type, *, optional: bool = False) -> Any:
        """Return the value of a key."""
        value = self.values.get(key)
        if value is None and optional:
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            article = {str: "a text", int: "a number", dict: "an object", list: "a list"}[kind]
            raise ReportError(f"{self.name}.{key} is not {article}")
        return value

    def flag(self, key: str) -> bool:
        """Return a truth value."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise ReportError(f"{self.name}.{key} is not true or false")
        return value

    def text(self, key: str) -> str:
        """Return a text that may be null as one line."""
        return one_line(self.get(key, str, optional=True) or "")

    def time(self, key: str, *, optional: bool = False) -> Any:
        """Return a time, 2026-11-22T17:39:37Z, as a Unix timestamp."""
        value = self.get(key, str, optional=optional)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
        except (ValueError, OverflowError):
            raise ReportError(f"{self.name}.{key} is not a time") from None
