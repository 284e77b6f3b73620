# SPDX-License-Identifier: Apache-2.0
"""A folder of this account's alone: opened, checked, and never looked up by its path again."""

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

# An event is half as large at most.
_MAX_FILE_BYTES = 2**20
_LOCK_POLL_SECONDS = 0.05
# A file fails to open with these if it is a link, a socket or a device, or by its mode.
_DAMAGE_ERRNOS = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES)
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
CREATE_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# A process that is forked while a thread sends inherits its lock, and would hold it as long as it
# lives.
_locks: set[int] = set()


def _drop_locks() -> None:
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


os.register_at_fork(after_in_child=_drop_locks)


class DamagedError(Exception):
    """A file is no event of ours; the message holds nothing of its content."""


def spool_path() -> Path:
    """Return where the spool is; an AlertError says that it has no place."""
    given = os.environ.get("RAX_ALERTING_SPOOL")
    if given:
        if not Path(given).is_absolute():
            raise AlertError(f"RAX_ALERTING_SPOOL is not an absolute path: {given}")
        return Path(given)
    # The XDG Base Directory Specification says that a relative path is to be ignored.
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
    """The folder, opened: made where it is missing, unless ``make`` is false.

    ``to_look`` lets root also open another account's. An AlertError says what is wrong with it, a
    FileNotFoundError that it isn't there and was not to be made.
    """

    def __init__(self, *, make: bool = True, to_look: bool = False) -> None:
        self.path = spool_path()
        try:
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.descriptor = os.open(self.path, OPEN_FOLDER)
        except FileNotFoundError:
            if not make:
                raise
            raise AlertError(f"{self.path} cannot be made") from None
        except OSError as error:
            raise self.alert_error(error) from None
        try:
            self._owner = self._secure(to_look)
        except BaseException:
            os.close(self.descriptor)
            raise

    def _secure(self, to_look: bool) -> int:
        """Make sure that only its owner can use it; return the owner's user id."""
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
                raise self.alert_error(error) from None
        return status.st_uid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def alert_error(self, error: OSError) -> AlertError:
        """Return the AlertError that names the folder and says what went wrong in it."""
        return AlertError(f"{self.path}: {error.strerror}")

    @contextlib.contextmanager
    def locked(
        self, deadline: Deadline, is_done: Callable[[], bool] = lambda: False
    ) -> Iterator[bool]:
        """Hold the lock and yield True; yield False if the time was over first, or ``is_done``.

        The process that holds the lock may do what this one waits for: then ``is_done`` returns
        True.
        """
        if not os.access(".", os.W_OK, dir_fd=self.descriptor):
            # An event that was sent could not be removed, and would be sent again and again.
            raise AlertError(f"{self.path} cannot be written to")
        try:
            lock = os.open(".", OPEN_FOLDER, dir_fd=self.descriptor)
        except OSError as error:
            raise self.alert_error(error) from None
        _locks.add(lock)
        try:
            yield self._await_lock(lock, deadline, is_done)
        finally:
            # Closing alone would leave the lock with processes that were forked meanwhile.
            fcntl.flock(lock, fcntl.LOCK_UN)
            _locks.discard(lock)
            os.close(lock)

    def _await_lock(self, lock: int, deadline: Deadline, is_done: Callable[[], bool]) -> bool:
        try:
            while not acquired(lock):
                if deadline.is_over or is_done():
                    return False
                deadline.wait(_LOCK_POLL_SECONDS)
            self._remove_unfinished()
        except OSError as error:
            raise self.alert_error(error) from None
        return True

    def _remove_unfinished(self) -> None:
        """Remove the files that killed processes were writing."""
        for name in os.listdir(self.descriptor):  # noqa: PTH208 - of a descriptor
            if not name.endswith(".tmp") or not name.startswith("."):
                continue
            with contextlib.suppress(OSError):
                flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=self.descriptor)
                if acquired(descriptor):
                    self.unlink(name)
                os.close(descriptor)

    def read_file(self, folder: int, name: str) -> bytes | None:
        """Return what a file of the owner holds, None where there is none.

        A DamagedError says that it can be none of ours.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _DAMAGE_ERRNOS:
                raise self.alert_error(error) from None
            raise DamagedError(f"cannot be opened: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedError("is not a regular file")
            if status.st_uid != self._owner:
                raise DamagedError(f"belongs to the user id {status.st_uid}")
            if status.st_size > _MAX_FILE_BYTES:
                raise DamagedError(f"is larger than {_MAX_FILE_BYTES} bytes")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(_MAX_FILE_BYTES)
        except OSError as error:
            raise self.alert_error(error) from None
        finally:
            os.close(descriptor)

    def replace_file(self, folder: int, name: str, content: bytes) -> None:
        """Write a file of this folder or of one in it, whole or not at all.

        The caller has to hold the lock.
        """
        temporary = f".{os.urandom(8).hex()}.tmp"
        descriptor = os.open(temporary, CREATE_FILE, 0o600, dir_fd=self.descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=folder)
        except OSError:
            self.unlink(temporary)
            raise

    def unlink(self, name: str) -> bool:
        """Remove a file; return whether that was possible."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)
            return True
        return False

    def fsync(self) -> None:
        """Write to the disk which files were added and removed."""
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)


def acquired(descriptor: int) -> bool:
    """Take the lock of an open file or folder, if nobody has it; return whether it was taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def names_by_age(folder: int) -> list[str]:
    """Return the names in a folder, oldest first."""
    found = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            found.append((status.st_mtime_ns, name))
    return [name for _time, name in sorted(found)]
