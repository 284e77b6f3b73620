# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say how a run of the refresh ended: metrics for Prometheus, and an alert through PagerDuty.

systemd runs it after each run of caspian-refresh.service, by ExecStopPost, whose SERVICE_RESULT,
EXIT_CODE and EXIT_STATUS say how the playbook ended; the fleet report that the playbook writes
says what it did. A run has failed if either says so, or if it left no report. ExecStartPre removes
the report of the run before; should one come again all the same, it counts as missing. A run that
is stopped (SIGTERM: systemctl stop, a shutdown) is neither good nor failed, once; stopped twice in
a row is a failure.

An alert is sent once, when so many runs in a row have failed, and resolved by the next good run.
What could not be sent is sent by the next run. The state is written before and after sending: a
run that is killed between them makes PagerDuty get the event twice, with the same key, which adds
to the same incident, and never not at all.

It ends with 0 whatever happens, so that the unit's result stays the playbook's; what went wrong
is on standard error, and so in the journal.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

UNIT = "caspian-refresh"
HOST_STATES = ("delivered", "failed", "unreachable", "not_reached")
SOURCE_STATES = ("current", "kept", "missing")
# For PagerDuty. Whoever holds the lock is bounded by it too, and needs a little more.
LIMIT_SECONDS = 20.0
LOCK_SECONDS = 5.0
LARGEST_FILE = 64 * 2**20
# In a summary and in the alert's details.
FEW, MANY = 5, 100
LONGEST_LINE = 4000
LONGEST_REASON, SHORT_REASON = 300, 120
# Whether PagerDuty has an incident of ours: not sure after a try whose end we don't know.
NONE, UNSURE, OPEN = "none", "unsure", "open"


class ReportError(Exception):
    """What makes a file unusable; its message is for a person and holds none of its content."""


# The fleet report


@dataclass(frozen=True)
class Host:
    """What a run did to one host."""

    state: str
    error: str
    counts: Mapping[str, int] | None
    oldest: int | None


@dataclass(frozen=True)
class Report:
    """What a run did."""

    identity: str
    started: int | None
    ended: int
    vault: str
    vault_error: str
    problems: Mapping[str, str]
    hosts: Mapping[str, Host]


def open_without_waiting(name: str, flags: int) -> int:
    """Open a file; a FIFO would wait for its writer."""
    return os.open(name, flags | os.O_NONBLOCK)


def read_json(path: Path) -> Any:
    """Return a file's document, or None if there is no such file."""
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ReportError(f"{path} is not a regular file")
            if status.st_size > LARGEST_FILE:
                raise ReportError(f"{path} is larger than {LARGEST_FILE} bytes")
            content = file.read(LARGEST_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from None
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        raise ReportError(f"{path} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ReportError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise ReportError(f"{path} is not JSON that can be read") from None


class Fields:
    """A JSON object of the report, read with types."""

    def __init__(self, value: Any, name: str) -> None:
        """Take an object; the name is for messages."""
        if not isinstance(value, dict):
            raise ReportError(f"{name} is not an object")
        self.values = value
        self.name = name

    def get(self, key: str, kind: type, *, optional: bool = False) -> Any:
        """Return the value of a key."""
        value = self.values.get(key)
        if value is None and optional:
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            article = {str: "a text", int: "a number", dict: "an object"}[kind]
            raise ReportError(f"{self.name}.{key} is not {article}")
        return value

    def text(self, key: str) -> str:
        """Return a text that may be null as one line."""
        return one_line(self.get(key, str, optional=True) or "")

    def time(self, key: str, *, optional: bool = False) -> Any:
        """Return a time, 2026-11-22T17:39:37Z, as a Unix timestamp."""
        value = self.get(key, str, optional=optional)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
        except (ValueError, OverflowError):
            raise ReportError(f"{self.name}.{key} is not a time") from None


def parse_report(document: Any) -> Report:
    """Check a fleet report."""
    top = Fields(document, "report")
    if top.values.get("version") != 1:
        raise ReportError("report.version is not 1")
    problems = top.get("problems", dict)
    hosts = top.get("hosts", dict)
    return Report(
        identity=one_line(f"{top.values.get('started_at')}/{top.values.get('ended_at')}", 100),
        # A run that ended before its first step has no start.
        started=top.time("started_at", optional=True),
        ended=top.time("ended_at"),
        vault=top.text("vault"),
        vault_error=top.text("vault_error"),
        problems={one_line(name): one_line(str(reason)) for name, reason in problems.items()},
        hosts={
            one_line(name): parse_host(Fields(host, f"report.hosts.{one_line(name)}"))
            for name, host in hosts.items()
        },
    )


def parse_host(host: Fields) -> Host:
    """Check what the report says of one host."""
    state = host.get("state", str)
    if state not in HOST_STATES:
        raise ReportError(f"{host.name}.state is none of {', '.join(HOST_STATES)}")
    counts = oldest = None
    if host.get("summary", dict, optional=True) is not None:
        summary = Fields(host.values["summary"], f"{host.name}.summary")
        given = {name: summary.get(name, int, optional=True) for name in SOURCE_STATES}
        counts = {name: number for name, number in given.items() if number is not None}
        oldest = summary.time("oldest_last_good_at", optional=True)
    return Host(state, host.text("error"), counts, oldest)


def one_line(text: str, length: int = LONGEST_REASON) -> str:
    """Return a text for one line of a log or an alert, with nothing in it that is not shown."""
    try:
        from rax import _printable
    except ImportError:
        # Only where it was not installed as the role does it.
        return ascii(" ".join(text.split()))[1:-1][:length]
    return _printable.one_line(text, length)


def without_secrets(document: Any) -> Any:
    """Return what was read with *** for this host's secrets, before any of it is cut."""
    try:
        from rax.alerting import _secrets
    except ImportError:
        return document
    return _secrets.hide(document)


# How the run ended


@dataclass(frozen=True)
class Outcome:
    """The verdict on a run: what went wrong, most telling first; nothing if it was good."""

    problems: list[str]
    stopped: bool
    report: Report | None


def judge(path: Path, state: State, environment: Mapping[str, str]) -> Outcome:
    """Decide from the report and from what systemd says."""
    report, absent, unreadable = None, "", ""
    try:
        if (document := read_json(path)) is None:
            absent = f"it left no report at {path}"
        elif (found := parse_report(without_secrets(document))).identity == state.report:
            absent = f"{path} is the report of an earlier run"
        else:
            report = found
    except ReportError as error:
        unreadable = f"its report cannot be used: {error}"
    result = environment.get("SERVICE_RESULT") or "success"
    # What systemd's own stop leads to, with either result.
    if (
        absent
        and result in ("success", "signal")
        and environment.get("EXIT_CODE") == "killed"
        and environment.get("EXIT_STATUS") == "TERM"
    ):
        # Once is a person or a shutdown; again and again something is wrong.
        excused = state.last_run_success or not state.last_run
        return Outcome([] if excused else ["it was stopped before its end, again"], excused, None)
    ended = service_problem(result, environment)
    problems = list(report_problems(report)) if report else []
    # "Ended with 2" is but the consequence of what the report says. Not so a time-out or a kill,
    # which the report may not know of.
    if ended and (not problems or result != "exit-code"):
        problems.insert(0, ended)
    # A run that ended badly need not have left one.
    if absent and not ended:
        problems.append(absent)
    if unreadable:
        problems.append(unreadable)
    return Outcome(problems, False, report)


def service_problem(result: str, environment: Mapping[str, str]) -> str:
    """Put systemd's result into words, or nothing for success."""
    status = one_line(environment.get("EXIT_STATUS", ""))
    words = {
        "success": "",
        "timeout": "it was ended since it took too long",
        "exit-code": f"ansible-playbook ended with {status or 'an error'}",
        "signal": f"it was killed by {status or 'a signal'}",
        "core-dump": f"it crashed by {status or 'a signal'}",
        "oom-kill": "it was killed since memory ran out",
        "resources": "systemd could not start it",
        "start-limit-hit": "it was started too often",
    }
    return words.get(result, f"systemd calls its result {one_line(result)}")


def report_problems(report: Report) -> Iterator[str]:
    """Yield what the report says that went wrong, hosts and sources by name."""
    if report.vault_error:
        yield f"the vault ({report.vault}) gave nothing: {report.vault_error}"
    for state in ("unreachable", "failed", "not_reached"):
        hosts = {name: host.error for name, host in report.hosts.items() if host.state == state}
        # Without a vault no host is reached, which goes without saying.
        if hosts and not (report.vault_error and state == "not_reached"):
            yield f"{count(hosts, 'host')} {state.replace('_', ' ')}: {listed(hosts)}"
    if report.problems and not report.vault_error:
        yield f"{count(report.problems, 'source')} not fetched: {listed(report.problems)}"
    wrong = {
        name: host.error
        for name, host in report.hosts.items()
        if host.state == "delivered" and host.error
    }
    # Where sources are missing, that is what these hosts say too.
    if wrong and not report.problems:
        yield f"{count(wrong, 'host')} delivered to, but: {listed(wrong)}"
    missing = {
        name: f"{host.counts['missing']} sources"
        for name, host in report.hosts.items()
        if host.counts and host.counts.get("missing")
    }
    if missing and not report.problems and not report.vault_error:
        yield f"{count(missing, 'host')} without a file of some sources: {listed(missing)}"


def count(items: Mapping[str, str], noun: str) -> str:
    """Return 1 host, 2 hosts."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def listed(items: Mapping[str, str]) -> str:
    """Name the first few with their reasons, shortly."""
    few = [
        f"{name} ({one_line(reason, SHORT_REASON)})" if reason else name
        for name, reason in sorted(items.items())
    ][:FEW]
    more = f" and {len(items) - FEW} more" if len(items) > FEW else ""
    return f"{', '.join(few)}{more}"


# What is remembered


@dataclass
class State:
    """What the runs before have left, for the metrics and for alerting once."""

    report: str = ""
    last_run: int = 0
    last_run_success: bool = False
    last_success: int = 0
    last_report: int = 0
    duration: int = -1
    failures: int = 0
    failing_since: int = 0
    alert: str = NONE
    dedup_key: str = ""
    unsent: bool = False
    vault_up: bool = False
    problems: int = 0
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; whatever is not as it was written is an error, since it is nobody's to edit."""
        document = read_json(path)
        if document is None:
            return cls()
        state = cls()
        fields = Fields(document, str(path))
        if fields.values.get("version") != 1:
            raise ReportError(f"{path} is not of this version")
        for name, default in vars(state).items():
            value = fields.values.get(name)
            if type(value) is not type(default):
                raise ReportError(f"{path}: {name} is not as it was written")
            setattr(state, name, value)
        if state.alert not in (NONE, UNSURE, OPEN):
            raise ReportError(f"{path}: alert is not as it was written")
        for host, values in state.hosts.items():
            known = Fields(values, f"{path}: hosts.{one_line(host)}")
            known.get("delivered", int), known.get("delivered_at", int)
            known.get("oldest", int, optional=True)
            counts = Fields(known.get("counts", dict), f"{known.name}.counts")
            for key in counts.values:
                counts.get(key, int)
        return state

    def take(self, outcome: Outcome, now: int) -> None:
        """Note a run; what it did not learn stays."""
        self.last_run = now
        self.last_run_success = not outcome.problems and not outcome.stopped
        if outcome.stopped:
            return
        if outcome.problems:
            self.failures += 1
            self.failing_since = self.failing_since or now
        else:
            self.failures = self.failing_since = 0
            self.last_success = now
        if outcome.report:
            self.take_report(outcome.report)

    def take_report(self, report: Report) -> None:
        """Note what the run did to the hosts."""
        self.report = report.identity
        self.last_report = report.ended
        self.duration = -1 if report.started is None else max(report.ended - report.started, 0)
        self.vault_up = not report.vault_error
        self.problems = len(report.problems)
        # A report without a vault may lack hosts; any other names all that there are.
        if self.vault_up:
            self.hosts = {name: self.hosts.get(name, {}) for name in report.hosts}
        for name, host in report.hosts.items():
            known = self.hosts.setdefault(name, {})
            known["delivered"] = int(host.state == "delivered")
            known["delivered_at"] = report.ended if known["delivered"] else known.get(
                "delivered_at", 0
            )  # fmt: skip
            known.setdefault("counts", {})
            known.setdefault("oldest", None)
            if host.counts is not None:
                known["counts"], known["oldest"] = dict(host.counts), host.oldest


def write(path: Path, content: str, mode: int) -> None:
    """Replace a file; whoever holds the lock is alone with the temporary name."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


@contextlib.contextmanager
def locked(path: Path, limit: float) -> Iterator[None]:
    """Hold the lock beside the state, so that two runs of this are one after the other."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, flags, 0o600)
    except OSError as error:
        # An alert without a memory is better than none.
        complain(f"goes on without a lock: {lock}: {error.strerror}")
        yield
        return
    try:
        deadline = time.monotonic() + limit
        while not acquired(descriptor):
            if time.monotonic() > deadline:
                raise ReportError(f"another one has held {lock} for {limit:g} s; gives up")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def acquired(descriptor: int) -> bool:
    """Try to get the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# Metrics

# What they mean, in the order of the file, without the prefix caspian_credentials_. All are gauges.
METRICS = {
    "last_run_timestamp_seconds": "When the refresh last ended.",
    "last_run_success": "1 if that run brought everything everywhere, else 0.",
    "last_success_timestamp_seconds": "When a run last was successful; 0 for never.",
    "consecutive_failures": "Runs that have failed since.",
    "last_report_timestamp_seconds": "When a run last said what it did, for the metrics below.",
    "last_report_duration_seconds": "How long that run took.",
    "vault_up": "1 if the vault answered, else 0.",
    "unfetched_sources": "Sources that the vault could not give.",
    "host_delivered": "1 if the host got what it receives, else 0.",
    "host_last_delivered_timestamp_seconds": "When the host last did; 0 for never.",
    "sources": "Sources of a host by state: current, kept (their last good file) or missing.",
    "oldest_last_good_timestamp_seconds": "When the vault last gave the host's stalest source.",
    "alert_open": "1 if an alert is open or may be, else 0.",
    "alert_unsent": "1 if PagerDuty has yet to be told of the last alert or its end, else 0.",
}


def samples(state: State) -> Iterator[tuple[str, dict[str, str], int]]:
    """Yield name, labels and value; what is not known is left out."""
    yield "last_run_timestamp_seconds", {}, state.last_run
    yield "last_run_success", {}, int(state.last_run_success)
    yield "last_success_timestamp_seconds", {}, state.last_success
    yield "consecutive_failures", {}, state.failures
    if state.last_report:
        yield "last_report_timestamp_seconds", {}, state.last_report
        if state.duration >= 0:
            yield "last_report_duration_seconds", {}, state.duration
        yield "vault_up", {}, int(state.vault_up)
        # Without the vault nobody knows.
        if state.vault_up:
            yield "unfetched_sources", {}, state.problems
    for host, known in sorted(state.hosts.items()):
        yield "host_delivered", {"host": host}, known["delivered"]
        yield "host_last_delivered_timestamp_seconds", {"host": host}, known["delivered_at"]
        for name, number in sorted(known["counts"].items()):
            yield "sources", {"host": host, "state": name}, number
        if known["oldest"] is not None:
            yield "oldest_last_good_timestamp_seconds", {"host": host}, known["oldest"]
    yield "alert_open", {}, int(state.alert != NONE)
    yield "alert_unsent", {}, int(state.unsent)


def render_metrics(state: State) -> str:
    """Return them in Prometheus' text format."""
    lines: dict[str, list[str]] = {name: [] for name in METRICS}
    for name, labels, value in samples(state):
        pairs = ",".join(f'{label}="{escape(text)}"' for label, text in labels.items())
        lines[name].append(f"caspian_credentials_{name}{f'{{{pairs}}}' if pairs else ''} {value}")
    return "".join(
        f"# HELP caspian_credentials_{name} {METRICS[name]}\n"
        f"# TYPE caspian_credentials_{name} gauge\n" + "".join(f"{line}\n" for line in found)
        for name, found in lines.items()
        if found
    )


def escape(label: str) -> str:
    """Return a label's value as the format has it."""
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


# Alerts


def summary(outcome: Outcome, state: State, source: str) -> str:
    """Return what a person reads first: what failed, where, and where to look."""
    runs = f", {state.failures} runs in a row" if state.failures > 1 else ""
    ending = f'. See "journalctl -u {UNIT}" on {source}.'
    text = f"Credentials refresh on {source} failed{runs}: {'; '.join(outcome.problems)}"
    # What is left of PagerDuty's 1024 for the reasons.
    room = 1024 - len(ending)
    return one_line(text, room) + ending


def details(outcome: Outcome, state: State, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a person reads next."""
    report = outcome.report
    return {
        "problems": outcome.problems,
        "failing_since": timestamp(state.failing_since),
        "last_success": timestamp(state.last_success),
        "failed_runs_in_a_row": state.failures,
        "systemd": {
            name: one_line(environment[name])
            for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")
            if name in environment
        },
        "vault": report.vault if report else None,
        "hosts": first(
            {name: f"{host.state} {host.error}".strip() for name, host in report.hosts.items()
             if host.state != "delivered"}
        ) if report else {},
        "sources": first(report.problems) if report else {},
        "effect": "Where nothing new was delivered, the last good files stay in place.",
        "look": f"journalctl -u {UNIT}; systemctl start {UNIT} refreshes at once",
    }  # fmt: skip


def first(items: Mapping[str, str]) -> dict[str, str]:
    """Return as many as an alert has room for."""
    kept = dict(sorted(items.items())[:MANY])
    return kept | {"…": f"{len(items) - MANY} more"} if len(items) > MANY else kept


def timestamp(seconds: int) -> str:
    """Return a time as the report writes it."""
    if not seconds:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def send(action: str, credential: str, limit: float, **event: Any) -> str:
    """Send an event; return what went wrong, or nothing."""
    os.environ["RAX_ALERTING_CREDENTIAL"] = credential
    # Its client would write a line for each attempt.
    logging.getLogger("pagerduty").setLevel(logging.CRITICAL)
    try:
        from rax import alerting
        from rax.errors import RaxError
    except ImportError:
        return "the package 'rax' is not installed here"
    try:
        alerting.deliver(action, **event, limit=limit)
    except RaxError as error:
        return one_line(str(error))
    except Exception as error:
        return f"unexpected {type(error).__name__}"
    return ""


# The program


class Parser(argparse.ArgumentParser):
    """A parser that leaves the exit code to us."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments."""
        raise ReportError(f"arguments: {message}")


def parse_arguments(arguments: Iterable[str]) -> argparse.Namespace:
    """Return the settings."""
    parser = Parser(
        prog="caspian_refresh_report", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--report", type=Path, required=True, help="the playbook's fleet report")
    parser.add_argument("--state", type=Path, required=True, help="what this program remembers")
    parser.add_argument(
        "--metrics", type=Path, required=True, help="file for node_exporter, *.prom"
    )
    parser.add_argument(
        "--source", required=True, help="this host's name, for people and PagerDuty"
    )
    parser.add_argument("--after", type=int, default=1, help="alert after N failed runs in a row")
    parser.add_argument(
        "--alert", metavar="CREDENTIAL", help="PagerDuty's routing key; none: no alerts"
    )
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds for an alert")
    settings = parser.parse_args(list(arguments))
    if settings.after < 1:
        parser.error("--after is less than 1")
    if not 0 < settings.limit <= 600:
        parser.error("--limit is not between 0 and 600 seconds")
    return settings


def run(settings: argparse.Namespace, environment: Mapping[str, str], now: float) -> None:
    """Judge the run, write state and metrics, alert or resolve."""
    try:
        state = State.load(settings.state)
    except ReportError as error:
        complain(f"begins with an empty state: {error}")
        # An alert may be open: the next good run resolves it in any case.
        state = State(alert=UNSURE if settings.alert else NONE)
    outcome = judge(settings.report, state, environment)
    state.take(outcome, int(now))
    told = tell(settings, environment, outcome, state)
    save(settings, state)
    print_outcome(outcome, state, told)


def tell(
    settings: argparse.Namespace, environment: Mapping[str, str], outcome: Outcome, state: State
) -> str:
    """Alert or resolve, if it is time to; return what was done."""
    if outcome.stopped or not settings.alert:
        return ""
    if outcome.problems:
        if state.alert == OPEN or state.failures < settings.after:
            return ""
        action, after = "trigger", OPEN
        state.dedup_key = f"{UNIT}/{settings.source}"
        event = {
            "summary": summary(outcome, state, settings.source),
            "severity": "error",
            "source": settings.source,
            "details": details(outcome, state, environment),
        }
    else:
        if state.alert == NONE:
            state.unsent = False
            return ""
        action, after, event = "resolve", NONE, {}
    # Killed from here on: PagerDuty may have the event or not.
    state.alert, state.unsent = UNSURE, True
    save(settings, state)
    key = state.dedup_key or f"{UNIT}/{settings.source}"
    if problem := send(action, settings.alert, settings.limit, dedup_key=key, **event):
        complain(f"{problem}; the next run tries again")
        return ""
    state.alert, state.unsent = after, False
    return {"trigger": "alert sent", "resolve": "alert resolved"}[action]


def save(settings: argparse.Namespace, state: State) -> None:
    """Write state and metrics; where one can't be written, the other still is."""
    document = json.dumps({"version": 1, **vars(state)}, indent=1, sort_keys=True)
    for path, content, mode in (
        (settings.state, f"{document}\n", 0o600),
        (settings.metrics, render_metrics(state), 0o644),
    ):
        try:
            write(path, content, mode)
        except OSError as error:
            complain(f"cannot write {path}: {error.strerror}")


def print_outcome(outcome: Outcome, state: State, told: str) -> None:
    """Write a line for the journal."""
    if outcome.stopped:
        text = "the refresh was stopped before its end"
    elif outcome.problems:
        text = f"the refresh failed ({state.failures} in a row): {'; '.join(outcome.problems)}"
    else:
        text = "the refresh was good"
    sys.stdout.write(f"{one_line(text, LONGEST_LINE)}{f'; {told}' if told else ''}\n")


def complain(text: str) -> None:
    """Write a line for the journal about this program itself."""
    sys.stderr.write(f"caspian_refresh_report: {one_line(text, LONGEST_LINE)}\n")


def main(arguments: Iterable[str]) -> None:
    """Do all of it; nothing that goes wrong here is the refresh's failure."""
    try:
        settings = parse_arguments(arguments)
        with locked(settings.state, settings.limit + LOCK_SECONDS):
            run(settings, os.environ, time.time())
    except ReportError as error:
        complain(str(error))
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
    except Exception as error:
        # No message of it: nobody knows what it holds.
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        line = place.tb_lineno if place else 0
        complain(f"unexpected {type(error).__name__} in line {line}; please report it")


if __name__ == "__main__":
    main(sys.argv[1:])
