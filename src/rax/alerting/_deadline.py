# SPDX-License-Identifier: Apache-2.0
"""The time limit of a call: its work has a thread of its own, which nobody waits for any longer."""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum

from rax.alerting._deferred_log import DeferredLog
from rax.errors import AlertError

DEFAULT_LIMIT_SECONDS = 20.0
_MIN_LIMIT_SECONDS = 0.1
_MAX_LIMIT_SECONDS = 3600.0


class NoThreadError(AlertError):
    """A thread cannot be started: there are no more, or the interpreter ends."""


class Stage(Enum):
    """What the work of a call is at, in the words for a call that came no further."""

    MAKE_EVENT = "its event could not be made"
    ADD_TO_SPOOL = "the spool did not take it"
    READ_SPOOL = "the spool did not answer"
    AWAIT_LOCK = "another process was sending what is spooled, and not done"
    READ_CREDENTIAL = "its credential could not be read"
    SEND = "{host} did not accept it"


class Deadline:
    """When a call ends, what stage it has reached, and the connection that it has open."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.stage = Stage.MAKE_EVENT
        self.host = ""
        self.last_answer = ""
        self._end = time.monotonic() + seconds
        self._ended = threading.Event()
        self._connection: socket.socket | None = None

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._ended.is_set() or not self.left

    def __str__(self) -> str:
        """Say what was not done in time."""
        not_done = self.stage.value.format(host=self.host)
        last = f"; the last answer was {self.last_answer}" if self.last_answer else ""
        return f"{not_done} within {self.seconds:g} s{last}"

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the time is over."""
        self._ended.wait(min(seconds, self.left))

    def cut_at_end(self, connection: socket.socket) -> None:
        """Register the connection that ``end`` cuts."""
        self._connection = connection

    def end(self) -> None:
        """Let nothing more be begun, and cut the connection.

        The client's own time-outs would not do: an answer that comes byte by byte keeps them all.
        """
        self._ended.set()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                # Not the shutdown of ssl, which would take the TLS away from the reading thread.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


def limit_seconds(limit: object, log: DeferredLog) -> float:
    """Return a time limit that can be kept: that one within its bounds, or the default."""
    # Only these types, since the code of any other would run here, past all limits.
    if isinstance(limit, int | float):
        # The comparisons of a subclass may fail.
        with contextlib.suppress(Exception):
            seconds = float(min(max(limit, _MIN_LIMIT_SECONDS), _MAX_LIMIT_SECONDS))
            if not math.isnan(seconds):
                return seconds
    log.error("alert mended: its limit is no number of seconds")
    return DEFAULT_LIMIT_SECONDS


def run_within(seconds: float, work: Callable[[Deadline], None]) -> Deadline | None:
    """Do the work in a thread; return its deadline if it was not done in time, else None.

    Nothing but a thread bounds names that do not resolve and file systems that hang. What raises
    in the waiting thread, such as Airflow's time-out of a task, ends the work too.

    :raises NoThreadError: no work was begun
    """
    deadline = Deadline(seconds)
    worker = threading.Thread(target=work, args=[deadline], name="rax-alert", daemon=True)
    try:
        worker.start()
    except RuntimeError:
        raise NoThreadError("this process can start no thread to send from") from None
    try:
        worker.join(seconds)
    finally:
        in_time = not worker.is_alive()
        deadline.end()
    return None if in_time else deadline
