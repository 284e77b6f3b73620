# SPDX-License-Identifier: Apache-2.0
"""One alert of the library: spooled, then sent in its turn, within the time that the caller has."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from rax.alerting._capture import capture_folder
from rax.alerting._deadline import Deadline, NoThreadError, Stage, limit_seconds, run_within
from rax.alerting._deferred_log import DeferredLog
from rax.alerting._events import Event, describe
from rax.alerting._outcomes import Outcome, State
from rax.alerting._pagerduty import RefusedError, credential_name, not_set_up
from rax.alerting._records import Record
from rax.alerting._sender import Sender
from rax.alerting._spool import Entry, Spool
from rax.errors import AlertError

# For an alert that is only spooled: a disk that hangs must not hold up the caller for ever.
MAX_SPOOL_SECONDS = 5.0


class Alert:
    """One alert, and what has become of it.

    ``make`` returns the event, and what had to be mended for it. It runs in the alert's own thread,
    since the parts of an event may be anything, with code of their own.
    """

    def __init__(self, make: Callable[[], tuple[Event, list[str]]]) -> None:
        self._make = make
        self._log = DeferredLog()
        self._outcome: Outcome | None = None
        self._is_spooled = False
        self._is_to_stay = False
        self._description = "an alert"

    def outcome(self, limit: object) -> Outcome:
        """Send it within so many seconds; log and return what has become of it.

        With a limit of 0 it is only spooled.
        """
        self._is_to_stay = type(limit) in (int, float) and limit == 0
        seconds = MAX_SPOOL_SECONDS if self._is_to_stay else limit_seconds(limit, self._log)
        outcome = self._await(seconds)
        self._log_outcome(outcome)
        self._log.write()
        return outcome

    def _await(self, seconds: float) -> Outcome:
        try:
            late = run_within(seconds, self._run)
        except NoThreadError:
            # It can still be spooled, which needs no thread.
            self._run(None)
            late = None
        if self._outcome is None:
            return Outcome("spooled" if self._is_spooled else "lost", str(late))
        return self._outcome

    def _log_outcome(self, outcome: Outcome) -> None:
        state, problem = outcome
        about = f"{self._description}; {problem}"
        if state == "off" and self._description.startswith("resolve"):
            self._log.info(f"alert not sent: {about}")
        elif state == "off":
            self._log.warning(f"alert not sent: {about}")
        elif state == "spooled" and self._is_to_stay:
            self._log.info(f"alert spooled, to be sent later: {self._description}")
        elif state == "spooled":
            self._log.warning(f"alert spooled, to be sent later: {about}")
        elif state == "lost":
            self._log.error(f"alert lost: {about}")

    def _run(self, deadline: Deadline | None) -> None:
        """Spool and send it; without a deadline, this is the caller's own thread: only spool it."""
        try:
            self._outcome = self._spool_and_send(deadline)
        except BaseException as error:
            # The code of an event's part may raise anything. In the caller's thread, what is no
            # Exception is the caller's; in a thread of our own, nobody else would learn of it.
            if deadline is None and not isinstance(error, Exception):
                raise
            state: State = "spooled" if self._is_spooled else "lost"
            self._outcome = Outcome(state, f"unexpected {type(error).__name__}")

    def _spool_and_send(self, deadline: Deadline | None) -> Outcome:
        try:
            event, mended = self._make()
        except AlertError as error:
            self._log.error(f"not an alert: {error}")
            return Outcome("refused", str(error))
        self._description = describe(event)
        for what in mended:
            self._log.error(f"alert mended: {what}")
        problem = not_set_up()
        if problem and not capture_folder():
            return Outcome("off", problem)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = Record(now, credential_name(), event)
        with contextlib.ExitStack() as resources:
            spool = None
            try:
                if deadline:
                    deadline.stage = Stage.ADD_TO_SPOOL
                spool = resources.enter_context(Spool())
                entry, dropped = spool.add(record)
            except AlertError as error:
                problem = f"the spool cannot be used: {error}"
                self._log.error(problem)
                if not deadline or self._is_to_stay:
                    return Outcome("lost", problem)
                return self._send_unspooled(spool, problem, record, deadline)
            resources.callback(entry.close)
            self._is_spooled = True
            for what in dropped:
                self._log.error(f"alert dropped, since {spool.path} is full: {what}")
            if self._is_to_stay:
                return Outcome("spooled")
            if not deadline:
                return Outcome("spooled", "this process can start no thread to send it")
            return self._send_spooled(spool, entry, record, deadline)

    def _send_spooled(
        self, spool: Spool, entry: Entry, record: Record, deadline: Deadline
    ) -> Outcome:
        """Send all that is spooled, with the entry as the last, or see another process do it."""
        deadline.stage = Stage.AWAIT_LOCK
        try:
            with (
                spool.locked(deadline, lambda: not spool.has(entry)) as locked,
                Sender(deadline, self._log) as sender,
            ):
                if locked and spool.has(entry):
                    sender.send_all(spool)
                    if not spool.has(entry):
                        dropped = Outcome("lost", f"{spool.path} had no room for it any more")
                        return sender.outcomes.get(entry.name, dropped)
                if spool.has(entry):
                    problem = sender.problems.get(record.credential, str(deadline))
                    return Outcome("spooled", problem)
        except AlertError as error:
            return Outcome("spooled", str(error))
        if problem := spool.refusal(entry):
            return Outcome("refused", problem)
        self._log.info(f"alert sent by another process: {self._description}")
        return Outcome("sent")

    def _send_unspooled(
        self, spool: Spool | None, problem: str, record: Record, deadline: Deadline
    ) -> Outcome:
        """Send an event that is on no disk, behind those that are, where these can be sent."""
        with Sender(deadline, self._log) as sender, contextlib.ExitStack() as resources:
            if spool:
                deadline.stage = Stage.AWAIT_LOCK
                with contextlib.suppress(AlertError):
                    if resources.enter_context(spool.locked(deadline)):
                        sender.send_all(spool)
            try:
                sender.send(record)
            except RefusedError as error:
                return Outcome("refused", str(error))
            except AlertError as error:
                return Outcome("lost", f"{problem}; {error}")
        return Outcome("sent", problem)
