# SPDX-License-Identifier: Apache-2.0
"""A flush: what is spooled is sent, as cron asks for it each minute."""

from rax.alerting._deadline import Deadline, Stage, limit_seconds, run_within
from rax.alerting._deferred_log import DeferredLog
from rax.alerting._outcomes import Flushed
from rax.alerting._sender import Sender
from rax.alerting._spool import Spool
from rax.errors import AlertError


class Flush:
    """One flush, and what it has done so far."""

    def __init__(self) -> None:
        self._log = DeferredLog()
        self._sender: Sender | None = None
        self._pending = 0
        self._error = ""

    def result(self, limit: object) -> Flushed:
        """Flush within so many seconds; an AlertError says that the spool cannot be used."""
        late = run_within(limit_seconds(limit, self._log), self._run)
        self._log.write()
        # Not the thread's own exception, whose frames have held the routing key.
        if self._error:
            raise AlertError(self._error)
        problems = [str(late)] if late else []
        sender = self._sender
        if sender is None:
            return Flushed(0, 0, 0, "; ".join(problems))
        problem = "; ".join(dict.fromkeys([*sender.problems.values(), *problems]))
        return Flushed(sender.sent, sender.refused, self._pending, problem)

    def _run(self, deadline: Deadline) -> None:
        try:
            self._send(deadline)
        except AlertError as error:
            self._error = str(error)
        except BaseException as error:
            self._error = f"unexpected {type(error).__name__}"

    def _send(self, deadline: Deadline) -> None:
        deadline.stage = Stage.READ_SPOOL
        try:
            spool = Spool(make=False)
        except FileNotFoundError:
            return
        with spool, Sender(deadline, self._log) as sender:
            self._sender = sender
            self._pending = len(spool.names())
            deadline.stage = Stage.AWAIT_LOCK
            with spool.locked(deadline) as locked:
                if locked:
                    sender.send_all(spool)
                self._pending = len(spool.names())
                if self._pending and not sender.problems:
                    sender.problems[""] = str(deadline)
