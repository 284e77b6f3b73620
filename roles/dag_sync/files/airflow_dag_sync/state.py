# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered between runs; all of it may be lost but for the pin."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from airflow_dag_sync.files import temporary
from airflow_dag_sync.urls import is_sha

MAX_SECONDS = 2**37  # Later than that, a year has more than four digits.


class Record(Protocol):
    """What can say whether its values are of the form that this program writes."""

    def is_sound(self) -> bool:
        """Whether they are."""


T = TypeVar("T", bound=Record)


@dataclass
class Release:
    """What is known of a release beside its files."""

    # The tree of the commit, with its submodules.
    tree: str | None = None
    # The mark of its files when they were as they should be.
    fingerprint: str | None = None
    # The mark of the signers by whom it is signed, and the tag if it is the tag that is.
    signed: list[Any] | None = None
    # The terms under which it has passed the gate.
    gate: list[Any] | None = None
    # What is published nevertheless, and should be known.
    warnings: list[str] = field(default_factory=list)
    # The same of what the gate has found.
    gate_warnings: list[str] = field(default_factory=list)

    def is_sound(self) -> bool:
        """Whether these are values of the form that this program writes."""
        return (
            (self.tree is None or is_sha(self.tree))
            and isinstance(self.fingerprint, str | None)
            and (self.signed is None or (isinstance(self.signed, list) and len(self.signed) == 2))
            and (self.gate is None or isinstance(self.gate, list))
            and isinstance(self.warnings, list)
            and isinstance(self.gate_warnings, list)
            and all(isinstance(text, str) for text in self.all_warnings)
        )

    @property
    def all_warnings(self) -> list[str]:
        """What is published nevertheless, whoever has found it."""
        return self.warnings + self.gate_warnings


@dataclass
class Failure:
    """Why the last runs failed, since when, and when that was reported."""

    message: str
    since: float
    reported: float

    def is_sound(self) -> bool:
        """Whether these are values of the form that this program writes."""
        return isinstance(self.message, str) and is_time(self.since) and is_time(self.reported)


@dataclass
class Blocked:
    """The commit that was blocked last, and the terms under which it was."""

    sha: str
    reason: str
    since: float
    terms: list[Any]

    def is_sound(self) -> bool:
        """Whether these are values of the form that this program writes."""
        return (
            is_sha(self.sha)
            and isinstance(self.reason, str)
            and is_time(self.since)
            and isinstance(self.terms, list)
        )


@dataclass
class Postponed:
    """The commit of which no release could be made, and when cron tries again."""

    sha: str
    message: str
    code: int
    until: float
    delay: float

    def is_sound(self) -> bool:
        """Whether these are values of the form that this program writes."""
        return (
            is_sha(self.sha)
            and isinstance(self.message, str)
            and is_count(self.code)
            and is_time(self.until)
            and is_time(self.delay)
        )


@dataclass
class State:
    """The content of the state's file."""

    seen: str | None = None
    # What the server calls the ref that is followed.
    refname: str | None = None
    previous: str | None = None
    pinned: str | None = None
    # A pin of an older version of this program has no time.
    pinned_since: float | None = None
    code: int = 0
    failures: int = 0
    repairs: int = 0
    error: Failure | None = None
    blocked: Blocked | None = None
    postponed: Postponed | None = None
    releases: dict[str, Release] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> State:
        """Read the file; what is malformed in it is as good as lost.

        Its account may have written anything into it.
        """
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            values = {}
        if not isinstance(values, dict):
            values = {}
        state = cls()
        for key in ("seen", "previous", "pinned"):
            if is_sha(values.get(key)):
                setattr(state, key, values[key])
        if isinstance(values.get("refname"), str):
            state.refname = values["refname"]
        if state.pinned and is_time(values.get("pinned_since")):
            state.pinned_since = values["pinned_since"]
        for key in ("code", "failures", "repairs"):
            if is_count(values.get(key)):
                setattr(state, key, values[key])
        state.error = record(Failure, values.get("error"))
        state.blocked = record(Blocked, values.get("blocked"))
        state.postponed = record(Postponed, values.get("postponed"))
        releases = values.get("releases")
        for sha, known in releases.items() if isinstance(releases, dict) else ():
            if is_sha(sha) and (release := record(Release, known)):
                state.releases[sha] = release
        return state

    def release(self, sha: str | None) -> Release:
        """Return what is known of a release; what the caller adds is remembered."""
        return self.releases.setdefault(sha, Release()) if sha else Release()

    def text(self) -> str:
        """Return the content of the file: what is set, and nothing else."""
        return json.dumps({key: value for key, value in asdict(self).items() if value})

    def save(self, file: Path) -> None:
        """Write the file to the disk; without a difference nothing is written."""
        text = self.text()
        if file.exists() and file.read_text(encoding="utf-8", errors="replace") == text:
            return
        new = temporary(file.parent)
        with new.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)


def record(kind: type[T], values: object) -> T | None:
    """Return a record of the file, or None for what is none."""
    if not isinstance(values, dict):
        return None
    names = kind.__annotations__
    try:
        made = kind(**{key: value for key, value in values.items() if key in names})
    except TypeError:
        return None
    return made if made.is_sound() else None


def is_count(value: object) -> bool:
    """Whether this is a number of something."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS


def is_time(value: object) -> bool:
    """Whether this is a time that can be written."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS
    )
