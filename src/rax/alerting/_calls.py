# SPDX-License-Identifier: Apache-2.0
"""What becomes of an event: spooled, then sent in its turn, within the time that the caller has."""

import contextlib
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from rax._printable import one_line
from rax.alerting._deadline import Deadline, NoThreadError, run_within
from rax.alerting._events import Event, shown
from rax.alerting._folder import DamagedError
from rax.alerting._pagerduty import Client, RefusedError, credential_name, not_set_up
from rax.alerting._records import Record
from rax.alerting._spool import Entry, Spool
from rax.errors import AlertError

LIMIT = 20.0
_SHORTEST, _LONGEST = 0.1, 3600.0
# Characters of a line of the log.
_LONGEST_NOTE = 2000

State = Literal["sent", "spooled", "refused", "lost", "off"]
Note = tuple[int, str]

_logger = logging.getLogger("rax.alerting")


class Outcome(NamedTuple):
    """What has become of an alert: its state, and the problem where it was not sent.

    - ``sent``: PagerDuty has taken it
    - ``spooled``: it is on this node's disk, and will be sent by the next alert or flush
    - ``refused``: PagerDuty will not take it, or nobody can tell which incident it is about
    - ``lost``: it could be neither sent nor spooled; what can be known of it is in the log
    - ``off``: alerting is not set up on this node
    """

    state: State
    problem: str = ""


class Flushed(NamedTuple):
    """What a flush has done: events sent, refused and still spooled, and what went wrong."""

    sent: int
    refused: int
    pending: int
    problem: str


class Sender:
    """Sends events in order; one that PagerDuty doesn't take yet holds up its credential's."""

    def __init__(self, deadline: Deadline, notes: list[Note]) -> None:
        """Begin without connections."""
        self._deadline = deadline
        self._notes = notes
        self._clients: dict[str, Client] = {}
        self._resources = contextlib.ExitStack()
        self.outcomes: dict[str, Outcome] = {}
        self.problems: dict[str, str] = {}
        self.sent = self.refused = self.pending = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._resources.close()

    def run(self, spool: Spool) -> None:
        """Send what is spooled until nothing is left that could be; others add to it meanwhile.

        The spool's lock is the caller's.
        """
        kept: set[str] = set()
        try:
            while names := [name for name in spool.names() if name not in kept]:
                for name in names:
                    if self._deadline.is_over:
                        return
                    # When the name of one that has gone comes again, it is another one.
                    if not self._take(spool, name):
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
                client = Client(name, self._deadline)
                self._clients[name] = self._resources.enter_context(client)
            self._clients[name].send(record.event)
        except RefusedError as error:
            self._notes.append((logging.ERROR, f"alert refused: {error}: {shown(record.event)}"))
            raise
        except AlertError as error:
            self.problems[name] = str(error)
            raise
        except Exception as error:
            # Whatever its message holds, it may be the event's or the credential's.
            self.problems[name] = f"unexpected {type(error).__name__}"
            raise AlertError(self.problems[name]) from None
        self._notes.append((logging.INFO, f"alert sent: {shown(record.event)}"))

    def _take(self, spool: Spool, name: str) -> bool:
        """Send one; return whether it has gone."""
        try:
            record = spool.read(name)
        except DamagedError as error:
            return self._put_aside(spool, name, str(error))
        except AlertError as error:
            self._notes.append((logging.ERROR, f"alert not sent: {name}: {error}"))
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
            problem = f"{spool.path}/{name} cannot be removed; it will be sent again"
            self._notes.append((logging.ERROR, problem))
        return gone

    def _put_aside(self, spool: Spool, name: str, problem: str) -> bool:
        path = f"{spool.path}/{name}"
        try:
            spool.put_aside(name)
        except OSError as error:
            problem = f"{path} {problem}, and cannot be put aside: {error.strerror}"
            self._notes.append((logging.ERROR, problem))
            return False
        self._notes.append((logging.ERROR, f"{path} {problem}; it was put aside"))
        return True


class Call:
    """One alert, and what has become of it."""

    def __init__(self, make: Callable[[], tuple[Event, list[str]]]) -> None:
        """The event is made in the call's own thread: its parts may be anything."""
        self._make = make
        self._notes: list[Note] = []
        self._outcome: Outcome | None = None
        self._is_spooled = False
        self._about = "an alert"

    def outcome(self, limit: object) -> Outcome:
        """Do it within so many seconds; log and return what has become of it."""
        outcome = self._await(seconds(limit, self._notes))
        # The handlers of a log are anybody's.
        with contextlib.suppress(Exception):
            for level, text in [*self._notes, *self._last_note(outcome)]:
                _logger.log(level, "%s", one_line(text, _LONGEST_NOTE))
        return outcome

    def _await(self, limit: float) -> Outcome:
        try:
            late = run_within(limit, self._run)
        except NoThreadError:
            # What is spooled is not lost.
            self._run(None)
            late = None
        if self._outcome is None:
            return Outcome("spooled" if self._is_spooled else "lost", str(late))
        return self._outcome

    def _last_note(self, outcome: Outcome) -> list[Note]:
        state, problem = outcome
        if state == "off":
            level = logging.INFO if self._about.startswith("resolve") else logging.WARNING
            return [(level, f"alert not sent: {self._about}; {problem}")]
        if state == "spooled":
            return [(logging.WARNING, f"alert spooled, to be sent later: {self._about}; {problem}")]
        if state == "lost":
            return [(logging.ERROR, f"alert lost: {self._about}; {problem}")]
        return []

    def _run(self, deadline: Deadline | None) -> None:
        try:
            self._outcome = self._do(deadline)
        except BaseException as error:
            # Whatever a text's own code raises: in a thread there is nobody else to tell.
            if deadline is None and not isinstance(error, Exception):
                raise
            state: State = "spooled" if self._is_spooled else "lost"
            self._outcome = Outcome(state, f"unexpected {type(error).__name__}")

    def _do(self, deadline: Deadline | None) -> Outcome:
        try:
            event, mended = self._make()
        except AlertError as error:
            self._notes.append((logging.ERROR, f"not an alert: {error}"))
            return Outcome("refused", str(error))
        self._about = shown(event)
        self._notes += [(logging.ERROR, f"alert mended: {what}") for what in mended]
        if problem := not_set_up():
            return Outcome("off", problem)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = Record(now, credential_name(), event)
        with contextlib.ExitStack() as resources:
            spool = None
            try:
                if deadline:
                    deadline.doing = "the spool did not take it"
                spool = resources.enter_context(Spool())
                entry, dropped = spool.add(record)
            except AlertError as error:
                problem = f"the spool cannot be used: {error}"
                self._notes.append((logging.ERROR, problem))
                if not deadline:
                    return Outcome("lost", problem)
                return self._send_unspooled(spool, problem, record, deadline)
            resources.callback(entry.close)
            self._is_spooled = True
            self._notes += [
                (logging.ERROR, f"alert dropped, since {spool.path} is full: {what}")
                for what in dropped
            ]
            if not deadline:
                return Outcome("spooled", "this process can start no thread to send it")
            return self._send(spool, entry, record, deadline)

    def _send(self, spool: Spool, entry: Entry, record: Record, deadline: Deadline) -> Outcome:
        """Send all that is spooled, with the entry as the last, or see another process do it."""
        deadline.doing = "another process was sending what is spooled, and not done"
        try:
            with (
                spool.locked(deadline, lambda: not spool.has(entry)) as locked,
                Sender(deadline, self._notes) as sender,
            ):
                if locked and spool.has(entry):
                    sender.run(spool)
                    if not spool.has(entry):
                        gone = Outcome("lost", f"{spool.path} had no room for it any more")
                        return sender.outcomes.get(entry.name, gone)
                if spool.has(entry):
                    problem = sender.problems.get(record.credential, str(deadline))
                    return Outcome("spooled", problem)
        except AlertError as error:
            return Outcome("spooled", str(error))
        if problem := spool.was_refused(entry):
            return Outcome("refused", problem)
        self._notes.append((logging.INFO, f"alert sent by another process: {self._about}"))
        return Outcome("sent")

    def _send_unspooled(
        self, spool: Spool | None, problem: str, record: Record, deadline: Deadline
    ) -> Outcome:
        """Send an event that is on no disk, behind those that are, where these can be sent."""
        with Sender(deadline, self._notes) as sender, contextlib.ExitStack() as resources:
            if spool:
                deadline.doing = "another process was sending what is spooled, and not done"
                with contextlib.suppress(AlertError):
                    if resources.enter_context(spool.locked(deadline)):
                        sender.run(spool)
            try:
                sender.send(record)
            except RefusedError as error:
                return Outcome("refused", str(error))
            except AlertError as error:
                return Outcome("lost", f"{problem}; {error}")
        return Outcome("sent", problem)


def seconds(limit: object, notes: list[Note]) -> float:
    """Return a time limit that can be kept."""
    # By its kind, since another one's own code would run here, past all limits.
    if isinstance(limit, int | float):
        # Those of a subclass may fail.
        with contextlib.suppress(Exception):
            within = float(min(max(limit, _SHORTEST), _LONGEST))
            if not math.isnan(within):
                return within
    notes.append((logging.ERROR, "alert mended: its limit is no number of seconds"))
    return LIMIT


def deliver(make: Callable[[], Event], limit: float) -> str:
    """Send one event past the spool; return what went wrong, or nothing."""
    problems = []

    def work(deadline: Deadline) -> None:
        problem = ""
        try:
            event = make()
            with Client(credential_name(), deadline) as client:
                client.send(event)
        except AlertError as error:
            problem = str(error)
        except BaseException as error:
            problem = f"unexpected {type(error).__name__}"
        problems.append(problem)

    late = _in_thread(limit, work)
    return problems[0] if problems else str(late)


def flush(limit: object) -> Flushed:
    """Send what is spooled; an AlertError says that the spool cannot be used."""
    notes: list[Note] = []
    senders: list[Sender] = []
    problems = []

    def work(deadline: Deadline) -> None:
        try:
            _flush(deadline, notes, senders)
        except AlertError as error:
            problems.append(str(error))
        except BaseException as error:
            problems.append(f"unexpected {type(error).__name__}")

    late = _in_thread(seconds(limit, notes), work)
    for level, text in list(notes):
        _logger.log(level, "%s", one_line(text, _LONGEST_NOTE))
    # Not the thread's own error, whose frames have held the routing key.
    if problems:
        raise AlertError(problems[0])
    if not senders:
        return Flushed(0, 0, 0, str(late) if late else "")
    sender = senders[0]
    found = [*sender.problems.values(), *([str(late)] if late else [])]
    problem = "; ".join(dict.fromkeys(found))
    return Flushed(sender.sent, sender.refused, sender.pending, problem)


def _flush(deadline: Deadline, notes: list[Note], senders: list[Sender]) -> None:
    deadline.doing = "the spool did not answer"
    try:
        spool = Spool(make=False)
    except FileNotFoundError:
        return
    with spool, Sender(deadline, notes) as sender:
        senders.append(sender)
        sender.pending = len(spool.names())
        deadline.doing = "another process was sending what is spooled, and not done"
        with spool.locked(deadline) as locked:
            if locked:
                sender.run(spool)
            sender.pending = len(spool.names())
            if sender.pending and not sender.problems:
                sender.problems[""] = str(deadline)


def _in_thread(limit: float, work: Callable[[Deadline], None]) -> Deadline | None:
    try:
        return run_within(limit, work)
    except NoThreadError:
        raise AlertError("this process can start no thread to send from") from None
