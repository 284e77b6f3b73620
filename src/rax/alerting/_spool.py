# SPDX-License-Identifier: Apache-2.0
"""The spool: a folder of events that PagerDuty has yet to take, one file each.

::

    0000000000000001.json   an event, as a Record; the lowest number is the oldest
    .0123456789abcdef.tmp   an event that is being written
    .problems               why events of a credential stay, by its name
    dropped                 one byte for each event that the spool had no room for
    refused/                what PagerDuty refused, with its reasons, and what is damaged

Whoever sends holds the folder's lock. Whoever adds needs none, and so waits for nobody: a number is
taken by a link, which fails where the number is taken already.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from rax.alerting._events import describe
from rax.alerting._folder import CREATE_FILE, OPEN_FOLDER, DamagedError, Folder, names_by_age
from rax.alerting._records import Record, Spooled
from rax.errors import AlertError

# Enough for a day with an alert each 90 seconds. Processes that add at the same moment may each go
# beyond a limit by one event.
MAX_EVENTS = 1_000
MAX_BYTES = 64 * 2**20
# These are kept only to be looked at.
MAX_REFUSED_EVENTS = 100
_REFUSED = "refused"
_PROBLEMS = ".problems"
_DROPPED = "dropped"
# Another process may take a file that was just made, and is not locked yet, for an unfinished one
# of a killed process, and remove it.
_MAX_ADD_ATTEMPTS = 5
# A number, or the name in refused/ of an event that a person has put back.
_EVENT_NAME = re.compile(r"([0-9]{16,100}|[0-9a-f]{32})\.json")


class Entry:
    """An event that this process has added, while it waits for what becomes of it.

    Its file is held open, so that no other file can get the same inode.
    """

    def __init__(self, name: str, descriptor: int, content: bytes) -> None:
        self.name = name
        self.content = content
        self._descriptor = descriptor

    def is_in(self, folder: int) -> bool:
        """Whether the file is still there; its name may be that of another event by now."""
        try:
            status = os.stat(self.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(status, os.fstat(self._descriptor))

    def close(self) -> None:
        os.close(self._descriptor)


class Spool(Folder):
    """The spool, opened."""

    # Adding

    def add(self, record: Record) -> tuple[Entry, list[str]]:
        """Add an event behind all that are there; return it, and a line for each one dropped."""
        content = record.dump()
        try:
            dropped = self._make_room(record, len(content))
            for _attempt in range(_MAX_ADD_ATTEMPTS):
                with contextlib.suppress(FileNotFoundError, BlockingIOError):
                    return self._write(content), dropped
            return self._write(content), dropped
        except OSError as error:
            raise self.alert_error(error) from None

    def _write(self, content: bytes) -> Entry:
        temporary = f".{os.urandom(8).hex()}.tmp"
        descriptor = os.open(temporary, CREATE_FILE, 0o600, dir_fd=self.descriptor)
        try:
            # The lock says that the process that writes it lives.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(descriptor)
            name = self._link(temporary)
        except BaseException:
            self.unlink(temporary)
            os.close(descriptor)
            raise
        # From here on the event is in the spool, whatever fails.
        self.unlink(temporary)
        self.fsync()
        return Entry(name, descriptor, content)

    def _link(self, temporary: str) -> str:
        """Give a file the next number; return the name."""
        while True:
            numbers = (number for number, _name in map(_by_number, self.names()))
            name = f"{max(numbers, default=0) + 1:016}.json"
            with contextlib.suppress(FileExistsError):
                os.link(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
                return name

    def _make_room(self, new: Record, size: int) -> list[str]:
        """Drop what costs an operator least until there is room; return a line for each."""
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
            dropped.append(describe(record.event) if record else f"{name}, which is damaged")
            self._count_dropped()
        return dropped

    def _count_dropped(self) -> None:
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            counter = os.open(_DROPPED, flags, 0o600, dir_fd=self.descriptor)
            os.write(counter, b".")
            os.close(counter)

    def _victims(self, new: Record) -> Iterator[tuple[str, Record | None]]:
        """Yield what may be dropped: first what tells nothing more, last what is told nowhere else.

        These are damaged files; events that a later one of the same key has overtaken; ends of
        incidents, which a person can close; then the oldest. The last event is never among them:
        whoever is sending it removes it by its number, which a new event would get.
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
        latest = {_incident(record): name for name, record in records.items() if record}
        latest[_incident(new)] = ""

        def cost(name: str) -> int:
            record = records[name]
            if not record:
                return 0
            if latest[_incident(record)] != name:
                return 1
            return 2 if record.event["event_action"] == "resolve" else 3

        # Sorting is stable: the oldest of those that cost the same comes first.
        for name in sorted(records, key=cost):
            if name != names[-1]:
                yield name, records[name]

    # Sending

    def names(self) -> list[str]:
        """Return the names of the files with events, oldest first."""
        try:
            found = os.listdir(self.descriptor)  # noqa: PTH208 - of a descriptor
        except OSError as error:
            raise self.alert_error(error) from None
        return sorted(filter(_EVENT_NAME.fullmatch, found), key=_by_number)

    def has(self, entry: Entry) -> bool:
        """Whether an event still waits."""
        return entry.is_in(self.descriptor)

    def read(self, name: str) -> Record | None:
        """Return an event, None where it has gone; a DamagedError says that the file is none."""
        content = self.read_file(self.descriptor, name)
        return None if content is None else Record.parse(content)

    def remove(self, name: str) -> bool:
        """Remove an event that was sent; return whether it is gone, whoever has removed it."""
        gone = self.unlink(name) or name not in self.names()
        self.fsync()
        return gone

    def refuse(self, name: str, record: Record, problem: str) -> bool:
        """Move an event that PagerDuty refused to refused/, with the reasons.

        Where there is no room for it, it is only removed. Return whether it is gone from the spool.
        """
        aside = _refused_name(record._replace(problem="").dump())
        with contextlib.suppress(OSError), self._open_refused() as refused:
            self.replace_file(refused, aside, record._replace(problem=problem).dump())
            self._prune_refused(refused)
        return self.remove(name)

    def refusal(self, entry: Entry) -> str:
        """Return why PagerDuty refused an event, or nothing."""
        with (
            contextlib.suppress(OSError, DamagedError),
            self._open_refused(to_read=True) as refused,
        ):
            content = self.read_file(refused, _refused_name(entry.content))
            return Record.parse(content).problem if content else ""
        return ""

    def put_aside(self, name: str) -> None:
        """Move a file that is no event to refused/, whatever it is."""
        with self._open_refused() as refused:
            aside = f"damaged-{os.urandom(8).hex()}.json"
            os.rename(name, aside, src_dir_fd=self.descriptor, dst_dir_fd=refused)
            self._prune_refused(refused)

    def note_problems(self, problems: dict[str, str]) -> None:
        """Keep the problem of each credential, for ``pending()``."""
        with contextlib.suppress(OSError):
            if problems:
                self.replace_file(self.descriptor, _PROBLEMS, json.dumps(problems).encode())
            else:
                self.unlink(_PROBLEMS)

    # Looking

    def pending(self) -> list[Spooled]:
        """Return what is to be sent, oldest first."""
        problems = self._problems()
        found = []
        for name in self.names():
            try:
                record = self.read(name)
            except DamagedError as error:
                found.append(self._damaged(self.descriptor, name, f"{error}; it will be put aside"))
            else:
                if record:
                    found.append(record.as_spooled(problems.get(record.credential, "")))
        return found

    def _problems(self) -> dict[str, str]:
        """Return the problems by credential; none where the file is missing or damaged."""
        with contextlib.suppress(OSError, DamagedError, ValueError, AttributeError, RecursionError):
            known = json.loads(self.read_file(self.descriptor, _PROBLEMS) or b"{}")
            return {str(name): str(problem) for name, problem in known.items()}
        return {}

    def refused(self) -> list[Spooled]:
        """Return what was put aside, oldest first."""
        found: list[Spooled] = []
        try:
            with self._open_refused(to_read=True) as refused:
                for name in names_by_age(refused):
                    try:
                        content = self.read_file(refused, name)
                        if content is not None:
                            record = Record.parse(content)
                            found.append(record.as_spooled(record.problem))
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

    def _damaged(self, folder: int, name: str, problem: str) -> Spooled:
        try:
            seconds = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
        except OSError:
            seconds = 0
        return Spooled(datetime.fromtimestamp(seconds, UTC), "", "", "", f"{name} {problem}")

    # The folder refused/

    @contextlib.contextmanager
    def _open_refused(self, *, to_read: bool = False) -> Iterator[int]:
        with contextlib.suppress(FileExistsError):
            if not to_read:
                os.mkdir(_REFUSED, 0o700, dir_fd=self.descriptor)
        descriptor = os.open(_REFUSED, OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=self.descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _prune_refused(self, refused: int) -> None:
        for name in names_by_age(refused)[:-MAX_REFUSED_EVENTS]:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=refused)


def _by_number(name: str) -> tuple[int, str]:
    """Return what sorts by number; an event that a person has put back comes first."""
    number = name.removesuffix(".json")
    return int(number) if number.isascii() and number.isdecimal() else 0, name


def _is_full(sizes: dict[str, int], size: int) -> bool:
    return len(sizes) >= MAX_EVENTS or sum(sizes.values()) + size > MAX_BYTES


def _incident(record: Record) -> tuple[str, str]:
    return record.credential, record.event["dedup_key"]


def _refused_name(content: bytes) -> str:
    """Return the same name for the same event: one that is refused again replaces its file."""
    return f"{hashlib.sha256(content).hexdigest()[:32]}.json"
