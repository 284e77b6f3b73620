# SPDX-License-Identifier: Apache-2.0
"""A folder of this account's alone: opened, checked, and never looked for by its path again."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from rax.alerting._deadline import Deadline
from rax.errors import AlertError

# No file of ours is as large.
_LARGEST = 2**20
_POLL = 0.05
# Of what is no regular file, or not for us: a link, a socket, a device; and of a mode.
_ODD = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES)
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# A process that is forked while a thread sends has its lock, too, and would keep it for ever.
_locks: set[int] = set()


def _drop_locks() -> None:
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


os.register_at_fork(after_in_child=_drop_locks)


class DamagedError(Exception):
    """What a file lacks to be one of ours; its message holds nothing of its content."""


def folder() -> Path:
    """Return where the spool is."""
    given = os.environ.get("RAX_ALERTING_SPOOL")
    if given:
        if not Path(given).is_absolute():
            raise AlertError(f"RAX_ALERTING_SPOOL is not an absolute path: {given}")
        return Path(given)
    # As the XDG Base Directory Specification has it, a relative one is ignored.
    state = Path(os.environ.get("XDG_STATE_HOME") or "")
    if not state.is_absolute():
        try:
            state = Path.home() / ".local/state"
        except RuntimeError:
            raise AlertError(
                "the spool has no place, as this account has no home; set RAX_ALERTING_SPOOL"
            ) from None
    return state / "rax/alerts"


class Folder:
    """The folder, opened."""

    def __init__(self, *, make: bool = True, to_look: bool = False) -> None:
        """Open it, for root also to look at another account's; AlertError says what is wrong.

        FileNotFoundError says that it isn't there and was not to be made.
        """
        self.path = folder()
        try:
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.descriptor = os.open(self.path, FOLDER)
        except FileNotFoundError:
            if not make:
                raise
            raise AlertError(f"{self.path} cannot be made") from None
        except OSError as error:
            raise self.error(error) from None
        try:
            self._owner = self._secured(to_look)
        except BaseException:
            os.close(self.descriptor)
            raise

    def _secured(self, to_look: bool) -> int:
        """Let nobody else read it; return its owner."""
        status = os.fstat(self.descriptor)
        if status.st_uid != os.geteuid() and not (to_look and os.geteuid() == 0):
            raise AlertError(
                f"{self.path} belongs to the user id {status.st_uid}: run as that account, or name"
                " another folder by RAX_ALERTING_SPOOL"
            )
        if status.st_mode & 0o077 and not to_look:
            try:
                os.fchmod(self.descriptor, 0o700)
            except OSError as error:
                raise self.error(error) from None
        return status.st_uid

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        os.close(self.descriptor)

    def error(self, error: OSError) -> AlertError:
        """Return what is told of an error."""
        return AlertError(f"{self.path}: {error.strerror}")

    @contextlib.contextmanager
    def locked(
        self, deadline: Deadline, is_done: Callable[[], bool] = lambda: False
    ) -> Iterator[bool]:
        """Hold the lock; False where the deadline, or who does what is to be done, is faster."""
        if not os.access(".", os.W_OK, dir_fd=self.descriptor):
            # What is sent could not be removed, and would be sent again and again.
            raise AlertError(f"{self.path} cannot be written to")
        try:
            lock = os.open(".", FOLDER, dir_fd=self.descriptor)
        except OSError as error:
            raise self.error(error) from None
        _locks.add(lock)
        try:
            yield self._await_lock(lock, deadline, is_done)
        finally:
            # Also for processes that were forked meanwhile.
            fcntl.flock(lock, fcntl.LOCK_UN)
            _locks.discard(lock)
            os.close(lock)

    def _await_lock(self, lock: int, deadline: Deadline, is_done: Callable[[], bool]) -> bool:
        try:
            while not acquired(lock):
                if deadline.is_over or is_done():
                    return False
                deadline.wait(_POLL)
            self._clean()
        except OSError as error:
            raise self.error(error) from None
        return True

    def _clean(self) -> None:
        """Remove what killed processes were writing."""
        for name in os.listdir(self.descriptor):  # noqa: PTH208 - of a descriptor
            if not name.endswith(".tmp") or not name.startswith("."):
                continue
            with contextlib.suppress(OSError):
                flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=self.descriptor)
                if acquired(descriptor):
                    self.unlink(name)
                os.close(descriptor)

    def content(self, place: int, name: str) -> bytes | None:
        """Read a file of this account; None where there is none."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=place)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _ODD:
                raise self.error(error) from None
            raise DamagedError(f"cannot be opened: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedError("is not a regular file")
            if status.st_uid != self._owner:
                raise DamagedError(f"belongs to the user id {status.st_uid}")
            if status.st_size > _LARGEST:
                raise DamagedError(f"is larger than {_LARGEST} bytes")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(_LARGEST)
        except OSError as error:
            raise self.error(error) from None
        finally:
            os.close(descriptor)

    def replace(self, name: str, content: bytes, place: int) -> None:
        """Write a file of this folder or one in it, whole or not at all; for who holds the lock."""
        temporary = f".{os.urandom(8).hex()}.tmp"
        descriptor = os.open(temporary, NEW, 0o600, dir_fd=self.descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=place)
        except OSError:
            self.unlink(temporary)
            raise

    def unlink(self, name: str) -> bool:
        """Remove a file; return whether it was possible."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)
            return True
        return False

    def sync(self) -> None:
        """Bring what was added and removed to the disk."""
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)


def acquired(descriptor: int) -> bool:
    """Take a lock, if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def by_age(folder: int) -> list[str]:
    """Return the names of files, oldest first."""
    found = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            found.append((status.st_mtime_ns, name))
    return [name for _, name in sorted(found)]
