# SPDX-License-Identifier: Apache-2.0
"""The spool: a folder of events that PagerDuty has yet to take, one file each.

::

    0000000000000001.json   an event, as a Record; the lowest number is the oldest
    .0123456789abcdef.tmp   an event that is being written
    .problems               why events of a credential stay, by its name
    dropped                 one byte for each event that the spool had no room for
    refused/                what PagerDuty refused, with its reasons, and what is damaged

All is done in the folder that was opened and found to be this account's alone, never by its path
again. Who sends holds the folder's lock; who adds needs none: a number is taken by a link, which
fails where there is one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from rax.alerting._events import shown
from rax.alerting._folder import FOLDER, NEW, DamagedError, Folder, by_age
from rax.alerting._records import Record, Spooled, spooled
from rax.errors import AlertError

# A day of an alert each 90 seconds; a disk has room for it. Processes that add at the same moment
# may each go beyond it by one.
MOST_EVENTS = 1_000
MOST_BYTES = 64 * 2**20
# What has been refused is kept to be looked at.
MOST_REFUSED = 100
_REFUSED = "refused"
_PROBLEMS = ".problems"
_DROPPED = "dropped"
# A file that was just made may be taken for one of a killed process.
_TRIES = 5
# A number, or what a person has put back from the refused ones.
_NAME = re.compile(r"([0-9]{16,100}|[0-9a-f]{32})\.json")


class Entry:
    """An event that this process has added, as long as it waits for what becomes of it."""

    def __init__(self, name: str, descriptor: int, content: bytes) -> None:
        """Hold the file, so that its inode is no other file's."""
        self.name = name
        self.content = content
        self._descriptor = descriptor

    def is_in(self, folder: int) -> bool:
        """Whether the file is still there; its name may be another's by now."""
        try:
            status = os.stat(self.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(status, os.fstat(self._descriptor))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class Spool(Folder):
    """The spool, opened."""

    # For who adds

    def add(self, record: Record) -> tuple[Entry, list[str]]:
        """Add an event behind all that are there; return it and what had to go for it."""
        content = record.dump()
        try:
            dropped = self._make_room(record, len(content))
            for _ in range(_TRIES):
                with contextlib.suppress(FileNotFoundError, BlockingIOError):
                    return self._write(content), dropped
            return self._write(content), dropped
        except OSError as error:
            raise self.error(error) from None

    def _write(self, content: bytes) -> Entry:
        temporary = f".{os.urandom(8).hex()}.tmp"
        descriptor = os.open(temporary, NEW, 0o600, dir_fd=self.descriptor)
        try:
            # Its lock says that its process lives.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(descriptor)
            name = self._link(temporary)
        except BaseException:
            self.unlink(temporary)
            os.close(descriptor)
            raise
        # It is accepted: what fails from here on costs no event.
        self.unlink(temporary)
        self.sync()
        return Entry(name, descriptor, content)

    def _link(self, temporary: str) -> str:
        """Give it the next number; another process may have been faster."""
        while True:
            numbers = (number for number, _ in map(_order, self.names()))
            name = f"{max(numbers, default=0) + 1:016}.json"
            with contextlib.suppress(FileExistsError):
                os.link(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
                return name

    def _make_room(self, new: Record, size: int) -> list[str]:
        """Drop what costs an operator least until there is room; return what it was."""
        sizes = {}
        for name in self.names():
            with contextlib.suppress(FileNotFoundError):
                sizes[name] = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_size
        dropped: list[str] = []
        if not _is_full(sizes, size):
            return dropped
        for name, record in self._victims(new):
            if not _is_full(sizes, size):
                break
            sizes.pop(name, None)
            if not self.unlink(name):
                continue
            dropped.append(shown(record.event) if record else f"{name}, which is damaged")
            with contextlib.suppress(OSError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                counter = os.open(_DROPPED, flags, 0o600, dir_fd=self.descriptor)
                os.write(counter, b".")
                os.close(counter)
        return dropped

    def _victims(self, new: Record) -> Iterator[tuple[str, Record | None]]:
        """Yield events: first what says nothing more, last what nobody would learn otherwise.

        What is damaged; what has a later event of the same key; ends of incidents, which a person
        can close; then the oldest. Never the last: who sends it removes it by its number, which a
        new event would get.
        """
        records: dict[str, Record | None] = {}
        names = self.names()
        for name in names:
            try:
                record = self.read(name)
            except DamagedError:
                records[name] = None
            else:
                if record:
                    records[name] = record
        latest = {_key(record): name for name, record in records.items() if record}
        latest[_key(new)] = ""

        def cost(name: str) -> int:
            record = records[name]
            if not record:
                return 0
            if latest[_key(record)] != name:
                return 1
            return 2 if record.event["event_action"] == "resolve" else 3

        # Stable, so that the oldest of a kind is first.
        for name in sorted(records, key=cost):
            if name != names[-1]:
                yield name, records[name]

    # For who sends

    def names(self) -> list[str]:
        """Return the names of the files with events, oldest first."""
        try:
            found = os.listdir(self.descriptor)  # noqa: PTH208 - of a descriptor
        except OSError as error:
            raise self.error(error) from None
        return sorted(filter(_NAME.fullmatch, found), key=_order)

    def has(self, entry: Entry) -> bool:
        """Whether an event still waits."""
        return entry.is_in(self.descriptor)

    def read(self, name: str) -> Record | None:
        """Return an event, None where it has gone; raise DamagedError where it is none."""
        content = self.content(self.descriptor, name)
        return None if content is None else Record.parse(content)

    def remove(self, name: str) -> bool:
        """Remove what was sent, at once: until then it would be sent again.

        Return whether it is gone, whoever has removed it.
        """
        gone = self.unlink(name) or name not in self.names()
        self.sync()
        return gone

    def refuse(self, name: str, record: Record, problem: str) -> bool:
        """Put aside what PagerDuty refused, with its reasons; where there is no room, remove it."""
        aside = _name_aside(record._replace(problem="").dump())
        with contextlib.suppress(OSError), self._open_refused() as refused:
            self.replace(aside, record._replace(problem=problem).dump(), refused)
            self._prune(refused)
        return self.remove(name)

    def was_refused(self, entry: Entry) -> str:
        """Return why PagerDuty refused an event, or nothing."""
        with (
            contextlib.suppress(OSError, DamagedError),
            self._open_refused(to_read=True) as refused,
        ):
            content = self.content(refused, _name_aside(entry.content))
            return Record.parse(content).problem if content else ""
        return ""

    def put_aside(self, name: str) -> None:
        """Put a file aside that is no event, whatever it is."""
        with self._open_refused() as refused:
            aside = f"damaged-{os.urandom(8).hex()}.json"
            os.rename(name, aside, src_dir_fd=self.descriptor, dst_dir_fd=refused)
            self._prune(refused)

    def note_problems(self, problems: dict[str, str]) -> None:
        """Keep what went wrong, by credential, for who asks."""
        with contextlib.suppress(OSError):
            if problems:
                self.replace(_PROBLEMS, json.dumps(problems).encode(), self.descriptor)
            else:
                self.unlink(_PROBLEMS)

    # For who looks

    def pending(self) -> list[Spooled]:
        """Return what is to be sent, oldest first."""
        problems: dict[str, str] = {}
        with contextlib.suppress(OSError, DamagedError, ValueError, AttributeError, RecursionError):
            known = json.loads(self.content(self.descriptor, _PROBLEMS) or b"{}")
            problems = {str(name): str(problem) for name, problem in known.items()}
        found = []
        for name in self.names():
            try:
                record = self.read(name)
            except DamagedError as error:
                found.append(self._damaged(self.descriptor, name, f"{error}; it will be put aside"))
            else:
                if record:
                    found.append(spooled(record, problems.get(record.credential, "")))
        return found

    def refused(self) -> list[Spooled]:
        """Return what was put aside, oldest first."""
        found: list[Spooled] = []
        try:
            with self._open_refused(to_read=True) as refused:
                for name in by_age(refused):
                    try:
                        content = self.content(refused, name)
                        if content is not None:
                            record = Record.parse(content)
                            found.append(spooled(record, record.problem))
                    except DamagedError as error:
                        found.append(self._damaged(refused, name, str(error)))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise AlertError(f"{self.path}/{_REFUSED}: {error.strerror}") from None
        return found

    def dropped(self) -> int:
        """Return how many events there was no room for."""
        try:
            return os.stat(_DROPPED, dir_fd=self.descriptor, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def _damaged(self, place: int, name: str, problem: str) -> Spooled:
        try:
            seconds = os.stat(name, dir_fd=place, follow_symlinks=False).st_mtime
        except OSError:
            seconds = 0
        return Spooled(datetime.fromtimestamp(seconds, UTC), "", "", "", f"{name} {problem}")

    # The files

    @contextlib.contextmanager
    def _open_refused(self, *, to_read: bool = False) -> Iterator[int]:
        with contextlib.suppress(FileExistsError):
            if not to_read:
                os.mkdir(_REFUSED, 0o700, dir_fd=self.descriptor)
        descriptor = os.open(_REFUSED, FOLDER | os.O_NOFOLLOW, dir_fd=self.descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _prune(self, refused: int) -> None:
        for name in by_age(refused)[:-MOST_REFUSED]:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=refused)


def _order(name: str) -> tuple[int, str]:
    """Sort by number; what a person has put back comes first."""
    number = name.removesuffix(".json")
    return int(number) if number.isascii() and number.isdecimal() else 0, name


def _is_full(sizes: dict[str, int], size: int) -> bool:
    return len(sizes) >= MOST_EVENTS or sum(sizes.values()) + size > MOST_BYTES


def _key(record: Record) -> tuple[str, str]:
    return record.credential, record.event["dedup_key"]


def _name_aside(content: bytes) -> str:
    """Return the same name for the same event, also if the process was killed half-way."""
    return f"{hashlib.sha256(content).hexdigest()[:32]}.json"
