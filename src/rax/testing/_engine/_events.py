# SPDX-License-Identifier: Apache-2.0
"""What the process of a case tells of itself: each event in a file of its own, whole or not there.

No descriptor leads to what was told: a task that writes into all that it finds open changes nothing
of it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from rax.testing._engine._codec import FormError, dump, load
from rax.testing._model import RunKind, TaskKey
from rax.testing._outputs import RunOutput

# A case that gives more compares too much of its data.
MAX_EVENT_BYTES = 256 * 2**20
_MAX_EVENTS = 1_000_000


@dataclass(frozen=True)
class Phase:
    """What the process does now, beside running tasks."""

    text: str


@dataclass(frozen=True)
class Found:
    """The file that makes the DAG."""

    file: str


@dataclass(frozen=True)
class Begun:
    """A task has begun to run."""

    run: RunKind
    key: TaskKey


@dataclass(frozen=True)
class Ended:
    """A task has ended, or will be tried again."""

    run: RunKind
    key: TaskKey


@dataclass(frozen=True)
class Ran:
    """A run has ended."""

    output: RunOutput


@dataclass(frozen=True)
class Denied:
    """A task has tried to leave the case."""

    text: str


@dataclass(frozen=True)
class Done:
    """The case has ended by itself."""

    # Why it has no further run, if it should have one.
    trouble: str = ""
    # What stays up until this process is told to end.
    kept: tuple[str, ...] = ()


Event: TypeAlias = Phase | Found | Begun | Ended | Ran | Denied | Done
_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (Phase, Found, Begun, Ended, Ran, Denied, Done)
}


class Writer:
    """Writes events into a folder.

    :param folder: is there
    :param bell: a pipe; that something comes through it says that there is an event
    """

    def __init__(self, folder: Path, bell: int) -> None:
        self._folder = folder
        self._bell = bell
        self._number = 0
        self.phase = ""
        """What the process does now, beside running tasks."""

    def write(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Phase):
            self.phase = event.text
        self._number += 1
        kind = type(event).__name__
        new = self._folder / f".{self._number}"
        new.write_bytes(dump(event))
        new.rename(self._folder / f"{self._number}.{kind}")
        try:
            os.write(self._bell, b"\n")
        except OSError:
            # Somebody has closed it. The event is read when the process has ended.
            return


class Reader:
    """Reads the events that a folder has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def read(self) -> Iterator[Event]:
        """Yield what was written since the last call.

        :raises FormError: something is no event
        """
        there: dict[str, str] = {}
        for entry in os.scandir(self._folder):
            number, dot, kind = entry.name.partition(".")
            if number and dot:
                there[number] = kind
        while str(self._number + 1) in there:
            self._number += 1
            kind = there[str(self._number)]
            if self._number > _MAX_EVENTS or kind not in _KINDS:
                raise FormError(f"{kind!r:.100} is no event")
            yield load(_KINDS[kind], self._content(f"{self._number}.{kind}"))

    def _content(self, name: str) -> bytes:
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
                content = file.read(MAX_EVENT_BYTES + 1)
        except OSError as error:
            raise FormError(f"an event cannot be read: {error.strerror}") from None
        if len(content) > MAX_EVENT_BYTES:
            raise FormError(f"a run gives more than {MAX_EVENT_BYTES >> 20} MiB to compare")
        return content
