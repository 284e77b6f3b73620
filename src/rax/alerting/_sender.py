# SPDX-License-Identifier: Apache-2.0
"""Events to PagerDuty in the order of the spool, and what becomes of each."""

import contextlib
from typing import Self

from rax.alerting._capture import Capture, capture_folder
from rax.alerting._deadline import Deadline
from rax.alerting._deferred_log import DeferredLog
from rax.alerting._events import describe
from rax.alerting._folder import DamagedError
from rax.alerting._outcomes import Outcome
from rax.alerting._pagerduty import Client, RefusedError, connect
from rax.alerting._records import Record
from rax.alerting._spool import Spool
from rax.errors import AlertError


class Sender:
    """Sends events in order; one that PagerDuty doesn't take yet holds up its credential's.

    ``outcomes`` are by the name of the event in the spool, ``problems`` by that of the credential.
    """

    def __init__(self, deadline: Deadline, log: DeferredLog) -> None:
        self._deadline = deadline
        self._log = log
        self._clients: dict[str, Client | Capture] = {}
        self._connections = contextlib.ExitStack()
        self.outcomes: dict[str, Outcome] = {}
        self.problems: dict[str, str] = {}
        self.sent = self.refused = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    def send_all(self, spool: Spool) -> None:
        """Send what is spooled until nothing is left that could be; others add to it meanwhile.

        The caller has to hold the spool's lock.
        """
        kept: set[str] = set()
        try:
            while names := [name for name in spool.names() if name not in kept]:
                for name in names:
                    if self._deadline.is_over:
                        return
                    # A name that comes again after its event has gone is that of a new event.
                    if not self._send_spooled(spool, name):
                        kept.add(name)
        finally:
            spool.note_problems(self.problems)

    def send(self, record: Record) -> None:
        """Send an event; what PagerDuty does not take is an AlertError."""
        name = record.credential
        if name in self.problems:
            raise AlertError(self.problems[name])
        try:
            if name not in self._clients:
                client = connect(name, self._deadline)
                self._connections.enter_context(client)
                self._clients[name] = client
            self._clients[name].send(record.event)
        except RefusedError as error:
            self._log.error(f"alert refused: {error}: {describe(record.event)}")
            raise
        except AlertError as error:
            self.problems[name] = str(error)
            raise
        except Exception as error:
            # Not its message, which may hold parts of the event or of the credential.
            self.problems[name] = f"unexpected {type(error).__name__}"
            raise AlertError(self.problems[name]) from None
        done = "captured" if capture_folder() else "sent"
        self._log.info(f"alert {done}: {describe(record.event)}")

    def _send_spooled(self, spool: Spool, name: str) -> bool:
        """Send one event of the spool; return whether it has gone from there."""
        try:
            record = spool.read(name)
        except DamagedError as error:
            return self._put_aside(spool, name, str(error))
        except AlertError as error:
            self._log.error(f"alert not sent: {name}: {error}")
            return False
        if record is None:
            return True
        try:
            self.send(record)
        except RefusedError as error:
            self.outcomes[name] = Outcome("refused", str(error))
            self.refused += 1
            gone = spool.refuse(name, record, str(error))
        except AlertError:
            return False
        else:
            gone = spool.remove(name)
            self.outcomes[name] = Outcome("sent")
            self.sent += 1
        if not gone:
            self._log.error(f"{spool.path}/{name} cannot be removed; it will be sent again")
        return gone

    def _put_aside(self, spool: Spool, name: str, problem: str) -> bool:
        path = f"{spool.path}/{name}"
        try:
            spool.put_aside(name)
        except OSError as error:
            self._log.error(f"{path} {problem}, and cannot be put aside: {error.strerror}")
            return False
        self._log.error(f"{path} {problem}; it was put aside")
        return True
