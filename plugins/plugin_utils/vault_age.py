# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file vault that people edit elsewhere: how old a copy of it is, and whether it went back."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

# A memory holds a path and a number.
MAX_MEMORY_BYTES = 8192
# A clock that is put right steps back by less than this.
MAX_CLOCK_STEP_SECONDS = 60
_NS = 10**9


class VaultFileError(ValueError):
    """Why a file is not taken for the vault; the message can be shown."""


def copied_at(path: str) -> str:
    """Return when a copy was last known to be the same as its original, as the status has it.

    That is the time of change of the file that stands for it: whoever compares them touches it.
    """
    seconds = _regular(path).st_mtime
    if seconds > time.time() + MAX_CLOCK_STEP_SECONDS:
        Display().warning(f"{path} is of the future: look at the clock of this host.")
    return _utc(min(seconds, time.time()))


@contextlib.contextmanager
def remembered(path: str, memory: str) -> Iterator[None]:
    """Refuse a link in a vault's place, and a vault that is older than the one read last.

    `memory` is the file that remembers that one, or nothing where this is not asked for. What is
    read in the block becomes the last one, unless it raises.
    """
    if not memory or not path:
        yield
        return
    changed = _regular(path).st_mtime_ns
    last = _recall(Path(memory), path)
    if changed < last:
        raise VaultFileError(
            f"{path} was changed at {_utc(changed / _NS)}, before the one that was read last"
            f" ({_utc(last / _NS)}), so it may be an old copy: `touch` it if it is meant."
        )
    yield
    if changed != last:
        _note(Path(memory), {"version": 1, "path": path, "changed_ns": changed})


def _regular(path: str) -> os.stat_result:
    try:
        status = os.lstat(path)
    except OSError as error:
        raise VaultFileError(f"{path}: {error.strerror}.") from None
    if stat.S_ISLNK(status.st_mode):
        raise VaultFileError(f"{path} is a link: name the file that it leads to.")
    if not stat.S_ISREG(status.st_mode):
        raise VaultFileError(f"{path} is not a file.")
    return status


def _recall(memory: Path, path: str) -> int:
    """Return when the vault that was read last had been changed, 0 if that is not known."""
    try:
        descriptor = os.open(memory, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            known = json.loads(file.read(MAX_MEMORY_BYTES))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, RecursionError):
        known = None
    if (
        not isinstance(known, dict)
        or known.get("version") != 1
        or not isinstance(known.get("path"), str)
        or not isinstance(known.get("changed_ns"), int)
        or isinstance(known["changed_ns"], bool)
    ):
        Display().warning(f"{memory} is damaged, so nobody knows which vault was read last.")
        return 0
    return known["changed_ns"] if known["path"] == path else 0


def _note(memory: Path, known: dict[str, Any]) -> None:
    aside = memory.with_name(f".{memory.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(aside, flags, 0o600), "w") as file:
            json.dump(known, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(memory)
    except OSError as error:
        Display().warning(f"{memory} can't be written: {error.strerror}.")


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
