# SPDX-License-Identifier: Apache-2.0
"""The time limit of a call: what works for it has a thread of its own, and is ended by force."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable


class NoThreadError(Exception):
    """A thread cannot be started: there are no more, or the interpreter ends."""


class Deadline:
    """When a call ends, what it does until then, and the connection that it has."""

    def __init__(self, limit: float) -> None:
        """Begin to count, in seconds."""
        self.limit = limit
        self.doing = "its event could not be made"
        self.last_answer = ""
        self._end = time.monotonic() + limit
        self._ended = threading.Event()
        self._connection: socket.socket | None = None

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._ended.is_set() or not self.left

    def __str__(self) -> str:
        """Say how far it came."""
        last = f"; the last answer was {self.last_answer}" if self.last_answer else ""
        return f"{self.doing} within {self.limit:g} s{last}"

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it is over."""
        self._ended.wait(min(seconds, self.left))

    def hold(self, connection: socket.socket) -> None:
        """Take the connection that is to be cut when it is over."""
        self._connection = connection

    def end(self) -> None:
        """Let nothing more be begun, and cut the connection.

        An answer that comes byte by byte keeps each of a client's own time limits.
        """
        self._ended.set()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                # Not that of ssl, which takes the TLS away from the thread that is reading.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


def run_within(limit: float, work: Callable[[Deadline], None]) -> Deadline | None:
    """Do the work in a thread; return what it was at when the time was over, else None.

    Nothing but a thread bounds names that do not resolve and file systems that hang. What raises
    in the waiting thread, such as Airflow's time-out of a task, ends the work too.

    :raises NoThreadError: no work was begun
    """
    deadline = Deadline(limit)
    worker = threading.Thread(target=work, args=[deadline], name="rax-alert", daemon=True)
    try:
        worker.start()
    except RuntimeError:
        raise NoThreadError from None
    try:
        worker.join(limit)
    finally:
        in_time = not worker.is_alive()
        deadline.end()
    return None if in_time else deadline
