"""What cannot be sent stays on this node's disk, and is sent later: in order, once, and bounded."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rax import alerting
from rax.alerting import (
    _alert,
    _pagerduty,
    _sender,
    _spool,
    dropped,
    flush,
    pending,
    refused,
    resolve,
    trigger,
)
from rax.alerting._deferred_log import DeferredLog
from rax.credentials import get_credentials
from rax.errors import AlertError, StaleCredentialError, UnreadableCredentialError
from tests.fakes.pagerduty import PagerDuty
from tests.unit.rax.alerting_testing import ROUTING_KEY, statuses, summaries

SOURCE = Path(alerting.__file__).parents[2]
DOWN = {"kind": "status", "status": 503}
OTHER_KEY = "fedcba9876543210OTHERKEY98765432"


@pytest.fixture
def down(pagerduty, pauses):
    """Return PagerDuty, which is down until its faults are taken away."""
    pagerduty.faults = [DOWN]
    pauses.clear()
    return pagerduty


def up(fake):
    fake.forget()


def alert(summary, key="k", **options):
    return trigger(summary, dedup_key=key, **options)


def events_of(node):
    """Return the summaries of what is spooled, by name."""
    return {
        name: json.loads((node.spool / name).read_text())["event"]["payload"]["summary"]
        for name in node.files
        if re.fullmatch(r"\d+\.json", name)
    }


# Faults: the event stays, the call ends, and nothing is raised.


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        pytest.param(
            {"kind": "status", "status": 429}, "{host} answered 429 (5 attempts)", id="429 for ever"
        ),
        pytest.param(
            {"kind": "status", "status": 500}, "{host} answered 500 (5 attempts)", id="500"
        ),
        pytest.param({"kind": "reset"}, "{host} cannot be reached: ", id="reset"),
        pytest.param({"kind": "status", "status": 403}, "{host} answered 403", id="a proxy's"),
        pytest.param(
            {"kind": "content_type"},
            "{host} answered 200, but not as PagerDuty does",
            id="web page",
        ),
    ],
)
@pytest.mark.usefixtures("pauses")
def test_what_cannot_be_sent_is_spooled(pagerduty, alerting_node, log, fault, problem):
    pagerduty.faults = [fault]
    host = pagerduty.url.removeprefix("https://")
    state, found = alert("no file", "production/ebi")
    assert state == "spooled"
    assert found.startswith(problem.format(host=host))
    said = f"WARNING alert spooled, to be sent later: trigger of 'production/ebi': no file; {found}"
    assert log() == [said]
    (entry,) = pending()
    assert entry[1:] == ("trigger", "production/ebi", "no file", found)
    assert datetime.now(UTC) - entry.when < timedelta(minutes=1)
    up(pagerduty)
    assert flush() == (1, 0, 0, "")
    assert log() == ["INFO alert sent: trigger of 'production/ebi': no file"]
    assert summaries(pagerduty.events) == ["t:no file"]
    assert alerting_node.files == []


def test_a_hang_is_spooled_within_the_limit(pagerduty, alerting_node):
    """Also when its answer comes byte by byte, which is cut: then it is not sent again."""
    pagerduty.faults = [{"kind": "hang"}]
    state, problem = alert("a", limit=1)
    assert state == "spooled"
    # The latter where the machine is slow.
    assert "timed out" in problem or "did not accept it within 1 s" in problem
    up(pagerduty)
    pagerduty.faults = [{"kind": "trickle", "seconds": 0.05, "times": 1}]
    done = flush(limit=1)
    assert done.sent + done.pending == 1
    assert alert("b") == ("sent", "")
    assert summaries(pagerduty.events) == ["t:a", "t:b"]
    assert alerting_node.files == []


@pytest.mark.usefixtures("pauses")
def test_another_hosts_certificate(pagerduty, monkeypatch):
    with monkeypatch.context() as patch, PagerDuty(names=("other.example",)) as fake:
        patch.setenv("SSL_CERT_FILE", str(fake.ca_path))
        patch.setenv("RAX_ALERTING_URL", fake.url)
        state, problem = alert("a")
        assert fake.requests == []
    assert state == "spooled"
    assert "certificate is not valid for 'localhost'" in problem
    assert flush().sent == 1
    assert summaries(pagerduty.events) == ["t:a"]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("RAX_ALERTING_URL", "https://localhost:1", "localhost:1 cannot be reached: "),
        ("HTTPS_PROXY", "http://127.0.0.1:1", "cannot be reached: "),
        ("HTTPS_PROXY", "nonsense://", "unexpected ValueError"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem", "TLS cannot be set up; look at SSL_CERT_FILE"),
        ("RAX_ALERTING_URL", "http://localhost", "RAX_ALERTING_URL is not an https:// URL"),
        ("RAX_ALERTING_CREDENTIAL", "NONE", "the routing key cannot be read: no credential"),
    ],
)
@pytest.mark.usefixtures("pagerduty", "pauses")
def test_a_setting_that_is_wrong_costs_no_alert(alerting_node, monkeypatch, name, value, problem):
    with monkeypatch.context() as patch:
        patch.setenv(name, value)
        state, found = alert("a")
    assert state == "spooled"
    assert problem in found
    assert events_of(alerting_node) == {"0000000000000001.json": "a"}


def test_an_insecure_routing_key_is_not_used(pagerduty, alerting_node):
    (alerting_node.credentials / "PAGERDUTY.json").chmod(0o644)
    state, problem = alert("a")
    assert state == "spooled"
    assert "wider than" in problem
    assert pagerduty.requests == []


def test_a_routing_key_is_used_however_old_it_is(pagerduty, monkeypatch):
    """The alert may be about just that."""
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "1h")
    with pytest.raises(StaleCredentialError):
        get_credentials("PAGERDUTY")
    assert alert("a") == ("sent", "")
    assert summaries(pagerduty.events) == ["t:a"]


def test_who_may_not_look_for_the_routing_key_spools(pagerduty, monkeypatch):
    def list_credentials():
        raise UnreadableCredentialError

    (Path(os.environ["RAX_CREDENTIALS_DIR"]) / "PAGERDUTY.json").unlink()
    monkeypatch.setattr(_pagerduty, "list_credentials", list_credentials)
    assert alert("a").state == "spooled"
    assert pagerduty.requests == []


def test_a_missing_client_is_named(pagerduty, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pagerduty", None)
        assert alert("a") == ("spooled", "the package 'pagerduty' is not installed here")
    assert flush().sent == 1
    assert summaries(pagerduty.events) == ["t:a"]


def test_where_alerting_is_not_set_up_nothing_is_spooled(pagerduty, alerting_node, log):
    (alerting_node.credentials / "PAGERDUTY.json").unlink()
    problem = (
        "alerting is not set up: this node has no credential 'PAGERDUTY'; its password, or that of"
        " the one that RAX_ALERTING_CREDENTIAL names, is PagerDuty's routing key"
    )
    assert alert("no file") == ("off", problem)
    assert log() == [f"WARNING alert not sent: trigger of 'k': no file; {problem}"]
    assert resolve("k") == ("off", problem)
    assert log() == [f"INFO alert not sent: resolve of 'k'; {problem}"]
    shutil.rmtree(alerting_node.credentials)
    assert alert("no file").state == "off"
    assert not alerting_node.spool.exists()
    assert (pending(), refused(), dropped()) == ([], [], 0)
    assert flush() == (0, 0, 0, "")
    assert not alerting_node.spool.exists()
    assert pagerduty.requests == []


# Order


def test_the_next_alert_sends_what_is_spooled_before_it(down, alerting_node):
    alert("a", "k1")
    resolve("k1")
    alert("b", "k1")
    alert("c", "k2")
    assert down.events == []
    up(down)
    assert resolve("k1") == ("sent", "")
    assert summaries(down.events) == ["t:a", "r:k1", "t:b", "t:c", "r:k1"]
    assert down.open == {"k2": 1}
    assert alerting_node.files == []


def test_the_order_is_kept_when_the_clock_jumps(down, alerting_node, monkeypatch):
    class Clock(datetime):
        day = 28

        @classmethod
        def now(cls, zone=None):
            cls.day -= 1
            return datetime(2026, 2, cls.day, tzinfo=zone)

    monkeypatch.setattr(_alert, "datetime", Clock)
    for number in range(12):
        alert(str(number))
    assert [entry.when.day for entry in pending()] == list(range(27, 15, -1))
    up(down)
    flush()
    assert summaries(down.events) == [f"t:{number}" for number in range(12)]
    assert alerting_node.files == []


def test_one_that_fails_holds_up_those_behind_it(down):
    for summary in "abc":
        alert(summary)
    up(down)
    down.faults = [{"kind": "status", "status": 503, "times": 5}]
    done = flush()
    assert (done.sent, done.pending) == (0, 3)
    assert statuses(down) == [503] * 5
    flush()
    assert summaries(down.events) == ["t:a", "t:b", "t:c"]


def test_a_credential_that_is_wrong_holds_up_its_own_alone(
    pagerduty, alerting_node, monkeypatch, pauses
):
    """The teams of two workflows have a routing key each."""
    for summary, team in [("a", "TEAM-A"), ("b", "PAGERDUTY"), ("c", "TEAM-A"), ("d", "PAGERDUTY")]:
        monkeypatch.setenv("RAX_ALERTING_CREDENTIAL", team)
        alert(summary)
    assert summaries(pagerduty.events) == ["t:b", "t:d"]
    monkeypatch.delenv("RAX_ALERTING_CREDENTIAL")
    pagerduty.data = {"routing_keys": [ROUTING_KEY, OTHER_KEY]}
    alerting_node.write_credential("TEAM-A", OTHER_KEY)
    assert flush() == (2, 0, 0, "")
    assert summaries(pagerduty.events) == ["t:b", "t:d", "t:a", "t:c"]
    assert pauses == []


# Refusals


@pytest.mark.usefixtures("pauses")
def test_a_refusal_holds_up_nothing(down, alerting_node, log):
    for summary in "abc":
        alert(summary)
    up(down)
    log()
    down.faults = [{"kind": "refused", "times": 1}]
    done = flush()
    assert done == (2, 1, 0, "")
    assert summaries(down.events) == ["t:b", "t:c"]
    (entry,) = refused()
    assert entry[1:4] == ("trigger", "k", "a")
    assert "answered 400: " in entry.problem
    assert "***" in entry.problem
    (line,) = [line for line in log() if line.startswith("ERROR")]
    assert line.startswith("ERROR alert refused: localhost:")
    assert line.endswith(": trigger of 'k': a")
    # Whoever puts it back has it sent.
    (name,) = (alerting_node.spool / "refused").iterdir()
    name.rename(alerting_node.spool / name.name)
    assert flush().sent == 1
    assert summaries(down.events) == ["t:b", "t:c", "t:a"]
    assert alerting_node.files == []


@pytest.mark.parametrize("status", [400, 413])
def test_an_alert_that_is_refused_says_so(pagerduty, status):
    pagerduty.faults = [{"kind": "status", "status": status}]
    host = pagerduty.url.removeprefix("https://")
    assert alert("a") == ("refused", f"{host} answered {status}")
    assert [entry.summary for entry in refused()] == ["a"]
    assert pending() == []


def test_a_wrong_routing_key_is_no_fault_of_the_event(pagerduty, alerting_node):
    alerting_node.write_credential("PAGERDUTY", "f" * 32)
    state, problem = alert("a")
    assert state == "spooled"
    assert problem.endswith("answered 400: 'routing_key' is unknown")
    alerting_node.write_credential("PAGERDUTY", ROUTING_KEY)
    assert flush().sent == 1
    assert summaries(pagerduty.events) == ["t:a"]


@pytest.mark.parametrize(
    ("reasons", "state"),
    [
        (["Invalid routing key"], "spooled"),
        (["Invalid routing key", "'payload.source' is missing"], "refused"),
        (["'payload.source' is missing"], "refused"),
        ([], "refused"),
    ],
)
def test_only_the_routing_key_alone_is_no_fault_of_the_event(pagerduty, reasons, state):
    pagerduty.faults = [{"kind": "value", "value": {"errors": reasons}, "status": 400}]
    assert alert("a").state == state


def test_what_is_put_back_goes_first(down, alerting_node):
    alert("b")
    alert("a")
    (alerting_node.spool / "0000000000000002.json").rename(alerting_node.spool / f"{'f' * 32}.json")
    alert("c")
    assert [entry.summary for entry in pending()] == ["a", "b", "c"]
    up(down)
    assert flush().sent == 3
    assert summaries(down.events) == ["t:a", "t:b", "t:c"]


def test_the_last_refused_ones_are_kept(pagerduty, monkeypatch):
    monkeypatch.setattr(_spool, "MAX_REFUSED_EVENTS", 3)
    pagerduty.faults = [{"kind": "status", "status": 400}]
    for number in range(5):
        assert alert(str(number)).state == "refused"
    assert [entry.summary for entry in refused()] == ["2", "3", "4"]


# Bounds


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize(
    ("before", "new", "left", "gone"),
    [
        pytest.param(
            ["t:a:k1", "t:b:k2", "t:c:k1"],
            "t:d:k3",
            ["b", "c", "d"],
            "trigger of 'k1': a",
            id="overtaken",
        ),
        pytest.param(
            ["t:a:k1", "t:b:k2", "t:c:k3"],
            "t:d:k2",
            ["a", "c", "d"],
            "trigger of 'k2': b",
            id="overtaken by the new one",
        ),
        pytest.param(
            ["t:a:k1", "r::k2", "t:c:k3"], "t:d:k4", ["a", "c", "d"], "resolve of 'k2'", id="an end"
        ),
        pytest.param(
            ["t:a:k1", "t:b:k2", "t:c:k3"],
            "t:d:k4",
            ["b", "c", "d"],
            "trigger of 'k1': a",
            id="oldest",
        ),
    ],
)
def test_a_full_spool_drops_what_costs_least(monkeypatch, log, before, new, left, gone):
    monkeypatch.setattr(_spool, "MAX_EVENTS", 3)

    def do(event):
        action, summary, key = event.split(":")
        return alert(summary, key) if action == "t" else resolve(key)

    for event in before:
        do(event)
    assert dropped() == 0
    log()
    assert do(new).state == "spooled"
    assert [entry.summary for entry in pending()] == left
    assert dropped() == 1
    (line,) = [line for line in log() if line.startswith("ERROR")]
    assert re.fullmatch(r"ERROR alert dropped, since \S+/rax/alerts is full: .*", line)
    assert line.endswith(f": {gone}")


def test_who_makes_room_leaves_what_was_just_sent_its_number(
    pagerduty, alerting_node, monkeypatch, pauses
):
    """Else the new event would get it, and would be removed in the other one's place."""
    monkeypatch.setattr(_spool, "MAX_EVENTS", 3)
    monkeypatch.setenv("RAX_ALERTING_CREDENTIAL", "TEAM-A")
    alert("u1", "u1")
    alert("u2", "u2")
    monkeypatch.delenv("RAX_ALERTING_CREDENTIAL")
    real = _sender.Sender.send

    def send(sender, record):
        real(sender, record)
        if record.event["payload"]["summary"] == "a":
            payload = record.event["payload"] | {"summary": "b"}
            with _spool.Spool() as spool:
                spool.add(record._replace(event=record.event | {"payload": payload}))[0].close()

    monkeypatch.setattr(_sender.Sender, "send", send)
    assert alert("a") == ("sent", "")
    assert dropped() == 1
    assert summaries(pagerduty.events) == ["t:a", "t:b"]
    assert [*events_of(alerting_node).values()] == ["u2"]
    assert pauses == []


@pytest.mark.usefixtures("down")
def test_the_bytes_of_a_spool_are_bounded(monkeypatch, alerting_node):
    monkeypatch.setattr(_spool, "MAX_BYTES", 300_000)
    for number in range(8):
        alert(str(number), f"k{number}", details={"log": "x" * 60_000})
    assert [entry.summary for entry in pending()] == ["4", "5", "6", "7"]
    assert sum((alerting_node.spool / name).stat().st_size for name in alerting_node.files) < 3e5
    assert dropped() == 4


@pytest.mark.usefixtures("down")
def test_the_largest_event_is_no_damaged_one(pagerduty):
    alert("a", details={str(number): "ü🚀\x01" * 9_999 for number in range(50)})
    up(pagerduty)
    assert flush() == (1, 0, 0, "")


# Files


def test_modes(down, alerting_node):
    old = os.umask(0)
    try:
        alert("a")
        up(down)
        down.faults = [{"kind": "status", "status": 400, "times": 1}, DOWN]
        alert("b")
    finally:
        os.umask(old)
    paths = [alerting_node.spool, *alerting_node.spool.rglob("*")]
    modes = {path.name if path.is_dir() else path.suffix: path.stat().st_mode for path in paths}
    assert {name: oct(mode & 0o7777) for name, mode in modes.items()} == {
        "alerts": "0o700",
        "refused": "0o700",
        ".json": "0o600",
        "": "0o600",
    }


@pytest.mark.usefixtures("pagerduty")
def test_an_event_is_on_the_disk_before_it_is_sent(monkeypatch):
    """Its content, then its name: a power failure leaves none of them half."""
    steps = []
    link, send = os.link, _sender.Sender.send

    def fsync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", lambda *a, **o: steps.append("link") or link(*a, **o))
    monkeypatch.setattr(_sender.Sender, "send", lambda *a: steps.append("send") or send(*a))
    assert alert("a").state == "sent"
    assert steps == ["file", "link", "folder", "send", "folder"]


@pytest.mark.usefixtures("down")
def test_a_spool_that_others_can_read_is_locked(alerting_node):
    alerting_node.spool.mkdir(parents=True, mode=0o755)
    alert("a")
    assert alerting_node.spool.stat().st_mode & 0o7777 == 0o700


def make_larger(path):
    path.touch()
    os.truncate(path, 2**21)


def make_foreign(path):
    path.write_text("{}")
    os.chown(path, 65534, 65534)


def make_socket(path):
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def write(text):
    return lambda path: path.write_text(text)


RECORD = {
    "version": 1,
    "time": "2026-11-01T08:00:00+00:00",
    "credential": "PAGERDUTY",
    "event": {"event_action": "resolve", "dedup_key": "k"},
    "problem": "",
}


def record(**changes):
    return write(json.dumps(RECORD | changes))


def event(**changes):
    return record(event=RECORD["event"] | changes)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(write(""), "is not JSON", id="empty"),
        pytest.param(write('{"version": 1, "event": {"canary'), "is not JSON", id="truncated"),
        pytest.param(lambda path: path.write_bytes(b"\xff"), "is not JSON", id="garbled"),
        pytest.param(write("[" * 100_000), "is not JSON", id="nested"),
        pytest.param(write("[]"), "is not of this version", id="a list"),
        pytest.param(record(version=2), "is not of this version", id="version"),
        pytest.param(record(more=1), "is not a record", id="more"),
        pytest.param(record(time="canary"), "is not a record", id="time"),
        pytest.param(record(time=1), "is not a record", id="time a number"),
        pytest.param(record(credential=["canary"]), "is not a record", id="credential"),
        pytest.param(record(event=[]), "holds no event", id="event"),
        pytest.param(event(event_action="acknowledge"), "holds no event", id="action"),
        pytest.param(event(dedup_key=""), "holds no event", id="key"),
        pytest.param(event(action="resolve"), "holds no event", id="the client's argument"),
        pytest.param(event(event_action="trigger", payload={}), "holds no event", id="payload"),
        pytest.param(event(dedup_key="\ud800"), "is not JSON", id="surrogate"),
        pytest.param(
            event(event_action="trigger", payload={"summary": "s", "x": float("inf")}),
            "is not JSON",
            id="infinite",
        ),
        pytest.param(os.mkfifo, "is not a regular file", id="fifo"),
        pytest.param(os.mkdir, "is not a regular file", id="directory"),
        pytest.param(make_socket, "cannot be opened: No such device or address", id="socket"),
        pytest.param(make_larger, "is larger than 1048576 bytes", id="larger"),
        pytest.param(make_foreign, "belongs to the user id 65534", id="of another account"),
        pytest.param(
            lambda path: path.symlink_to("/etc/hostname"),
            "cannot be opened: Too many levels of symbolic links",
            id="link",
        ),
    ],
)
@pytest.mark.usefixtures("pauses")
def test_a_damaged_file_is_put_aside(pagerduty, alerting_node, log, make, problem):
    if make is make_foreign and os.geteuid() != 0:
        pytest.skip("only root can make another account's file")
    alerting_node.spool.mkdir(parents=True, mode=0o700)
    make(alerting_node.spool / "0000000000000007.json")
    (entry,) = pending()
    assert entry.problem == f"0000000000000007.json {problem}; it will be put aside"
    assert alert("a") == ("sent", "")
    said = f"ERROR {alerting_node.spool}/0000000000000007.json {problem}; it was put aside"
    assert log() == [said, "INFO alert sent: trigger of 'k': a"]
    (entry,) = refused()
    assert entry.problem.endswith(f".json {problem}")
    assert "canary" not in str(entry)
    assert summaries(pagerduty.events) == ["t:a"]
    assert pending() == []


def test_files_of_others_stay(pagerduty, alerting_node):
    alerting_node.spool.mkdir(parents=True, mode=0o700)
    for name in ("notes.txt", "settings.json", ".hidden.json"):
        (alerting_node.spool / name).write_text("{}")
    alert("a")
    assert alerting_node.files == [".hidden.json", "notes.txt", "settings.json"]
    assert summaries(pagerduty.events) == ["t:a"]


def test_what_killed_processes_were_writing_is_removed(pagerduty, alerting_node):
    alerting_node.spool.mkdir(parents=True, mode=0o700)
    dead, alive = (alerting_node.spool / f".{name}.tmp" for name in ("dead", "alive"))
    dead.write_text("{")
    with alive.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        alert("a")
        assert alerting_node.files == [".alive.tmp"]
    assert summaries(pagerduty.events) == ["t:a"]


def test_a_file_that_is_taken_for_a_dead_ones_is_written_again(pagerduty, monkeypatch):
    """Another process looks at it between its making and its lock."""
    real, times = fcntl.flock, []

    def flock(descriptor, how):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.suffix == ".tmp" and len(times) < 2:
            times.append(path)
            if len(times) == 1:
                raise BlockingIOError
            path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert alert("a") == ("sent", "")
    assert len(times) == 2
    assert summaries(pagerduty.events) == ["t:a"]


# A spool that cannot be used: the alert is sent all the same, and that is said.


def make_wrong_owner(node, _patch):
    node.spool.mkdir(parents=True, mode=0o700)
    os.chown(node.spool, 65534, 65534)


def make_file(node, _patch):
    node.spool.parent.mkdir(parents=True)
    node.spool.write_text("")


def full_disk(_node, patch):
    def fsync(_):
        raise OSError(28, "No space left on device")

    patch.setattr(os, "fsync", fsync)


def without_links(_node, patch):
    def link(*_, **_options):
        raise PermissionError(1, "Operation not permitted")

    patch.setattr(os, "link", link)


def relative(_node, patch):
    patch.setenv("RAX_ALERTING_SPOOL", "alerts")


def homeless(_node, patch):
    patch.setenv("XDG_STATE_HOME", "ignored/since/it/is/relative")
    patch.delenv("HOME", raising=False)
    patch.setattr("pwd.getpwuid", {}.__getitem__)


UNUSABLE = [
    pytest.param(make_wrong_owner, "belongs to the user id 65534", id="wrong owner"),
    pytest.param(make_file, "File exists", id="a file"),
    pytest.param(full_disk, "No space left on device", id="full disk"),
    pytest.param(without_links, "Operation not permitted", id="no links"),
    pytest.param(relative, "RAX_ALERTING_SPOOL is not an absolute path: alerts", id="relative"),
    pytest.param(homeless, "this account has no home; set RAX_ALERTING_SPOOL", id="no home"),
]


@pytest.mark.parametrize(("break_it", "problem"), UNUSABLE)
def test_a_spool_that_cannot_be_used_costs_no_alert(
    pagerduty, alerting_node, monkeypatch, log, break_it, problem
):
    if break_it is make_wrong_owner and os.geteuid() != 0:
        pytest.skip("only root can make another account's folder")
    break_it(alerting_node, monkeypatch)
    state, found = alert("a")
    assert state == "sent"
    assert found.startswith("the spool cannot be used: ")
    assert problem in found
    assert log() == [f"ERROR {found}", "INFO alert sent: trigger of 'k': a"]
    assert summaries(pagerduty.events) == ["t:a"]
    assert alerting_node.files == []
    pagerduty.faults = [{"kind": "status", "status": 400}]
    assert alert("b").state == "refused"


@pytest.mark.parametrize(("break_it", "problem"), UNUSABLE)
def test_without_spool_and_pagerduty_an_alert_is_lost(
    down, alerting_node, monkeypatch, log, break_it, problem
):
    if break_it is make_wrong_owner and os.geteuid() != 0:
        pytest.skip("only root can make another account's folder")
    break_it(alerting_node, monkeypatch)
    state, found = alert("a")
    assert state == "lost"
    assert problem in found
    assert "answered 503 (5 attempts)" in found
    assert log()[-1] == f"ERROR alert lost: trigger of 'k': a; {found}"
    assert down.events == []


def test_on_a_full_disk_what_is_spooled_goes_first(down, alerting_node, monkeypatch):
    alert("a")
    up(down)
    full_disk(alerting_node, monkeypatch)
    assert alert("b").state == "sent"
    assert summaries(down.events) == ["t:a", "t:b"]


def test_what_could_not_be_removed_is_not_sent(down, alerting_node, monkeypatch):
    """Else each minute would add the same alerts to their incidents."""
    alert("a")
    up(down)
    # As on a file system that is read-only, also for root.
    monkeypatch.setattr(os, "access", lambda *_, **_options: False)
    with pytest.raises(AlertError, match=r"/rax/alerts cannot be written to$"):
        flush()
    assert down.requests == []
    assert events_of(alerting_node) == {"0000000000000001.json": "a"}


def test_one_that_stays_though_it_was_sent_is_said_and_not_sent_at_once_again(
    pagerduty, alerting_node, monkeypatch, log
):
    monkeypatch.setattr(_spool.Spool, "unlink", lambda *_: False)
    assert alert("a").state == "spooled"
    path = alerting_node.spool / "0000000000000001.json"
    assert f"ERROR {path} cannot be removed; it will be sent again" in log()
    assert summaries(pagerduty.events) == ["t:a"]


@pytest.mark.usefixtures("pagerduty")
def test_one_that_another_process_has_removed_is_gone(alerting_node, monkeypatch, log):
    real = _sender.Sender.send

    def send(sender, record):
        real(sender, record)
        (alerting_node.spool / "0000000000000001.json").unlink()

    monkeypatch.setattr(_sender.Sender, "send", send)
    assert alert("a") == ("sent", "")
    assert log() == ["INFO alert sent: trigger of 'k': a"]


@pytest.mark.usefixtures("down")
def test_damaged_notes_of_problems_are_none(alerting_node):
    alert("a")
    for text in ("", "[", "[]", "[" * 100_000, '{"PAGERDUTY": ["x"]}'):
        (alerting_node.spool / ".problems").write_text(text)
        (entry,) = pending()
        assert entry.problem == ("['x']" if "x" in text else "")


def test_what_is_refused_and_cannot_be_looked_at(alerting_node):
    alerting_node.spool.mkdir(parents=True, mode=0o700)
    (alerting_node.spool / "refused").touch()
    with pytest.raises(AlertError, match=f"^{alerting_node.spool}/refused: Not a directory$"):
        refused()


@pytest.mark.parametrize("look", [pending, refused, dropped, flush])
def test_who_looks_at_a_wrong_folder_is_told(alerting_node, look):
    make_file(alerting_node, None)
    with pytest.raises(AlertError, match=f"^{alerting_node.spool}: Not a directory$"):
        look()


@pytest.mark.usefixtures("down")
@pytest.mark.skipif(os.geteuid() != 0, reason="it is about root")
def test_root_may_look_at_the_spool_of_another_account(alerting_node):
    alert("a")
    for path in [alerting_node.spool, *alerting_node.spool.iterdir()]:
        os.chown(path, 65534, 65534)
    assert [entry.summary for entry in pending()] == ["a"]
    assert (refused(), dropped()) == ([], 0)
    assert not (alerting_node.spool / "refused").exists()
    with pytest.raises(AlertError, match="belongs to the user id 65534: run as that account"):
        flush()


# Who calls


class Timeout(BaseException):
    """As Airflow's time-out of a task: from a signal, in the main thread."""


@pytest.mark.parametrize("error", [Timeout, TimeoutError, RuntimeError])
def test_what_a_signal_raises_passes_through(pagerduty, alerting_node, error):
    pagerduty.faults = [{"kind": "hang"}]

    def end(*_):
        raise error

    old = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(error):
            alert("a", limit=30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert events_of(alerting_node) == {"0000000000000001.json": "a"}
    up(pagerduty)
    assert alert("b").state == "sent"
    assert summaries(pagerduty.events) == ["t:a", "t:b"]


def test_under_a_running_event_loop(pagerduty):
    async def work():
        return alert("a"), await asyncio.to_thread(alert, "b")

    assert asyncio.run(work()) == (("sent", ""), ("sent", ""))
    assert summaries(pagerduty.events) == ["t:a", "t:b"]


def test_without_threads_it_is_spooled(pagerduty, monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert alert("a") == ("spooled", "this process can start no thread to send it")
        with pytest.raises(AlertError, match="this process can start no thread to send from"):
            flush()
    assert flush().sent == 1
    assert summaries(pagerduty.events) == ["t:a"]


def test_at_the_end_of_the_interpreter_it_is_sent_or_spooled(pagerduty, alerting_node):
    program = (
        "import atexit; from rax.alerting import trigger;"
        "atexit.register(lambda: print(trigger('a', dedup_key='k').state))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() in ("sent", "spooled")
    flush()
    assert summaries(pagerduty.events) == ["t:a"]
    assert alerting_node.files == []


def test_who_is_late_leaves_it_to_who_sends(down, alerting_node):
    """The lock is another's; that one looks again before it lets go."""
    alert("a")
    descriptor = os.open(alerting_node.spool, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    up(down)
    try:
        problem = "another process was sending what is spooled, and not done within 0.3 s"
        assert alert("b", limit=0.3) == ("spooled", problem)
        assert flush(limit=0.3) == (0, 0, 2, problem)
    finally:
        os.close(descriptor)
    assert down.requests == []
    assert flush().sent == 2
    assert summaries(down.events) == ["t:a", "t:b"]


def test_a_request_that_the_limit_would_cut_is_not_begun(pagerduty, monkeypatch):
    """PagerDuty might have taken it, and would get it again."""
    monkeypatch.setattr(_pagerduty.Deadline, "left", 3.9)
    host = pagerduty.url.removeprefix("https://")
    assert alert("a") == ("spooled", f"{host} was not asked: too little of 20 s was left")
    assert pagerduty.requests == []


def test_an_alert_that_another_process_has_sent_or_refused_says_so(pagerduty, alerting_node, log):
    alerting_node.spool.mkdir(parents=True, mode=0o700)
    for fault, expected in [
        (None, ("sent", "")),
        ({"kind": "status", "status": 400}, ("refused", "answered 400")),
    ]:
        pagerduty.faults = [fault] if fault else []
        descriptor = os.open(alerting_node.spool, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        outcomes = []
        caller = threading.Thread(target=lambda: outcomes.append(alert("a")))  # noqa: B023 - joined below
        caller.start()
        while not events_of(alerting_node):
            threading.Event().wait(0.01)
        # What the other process does while it holds the lock.
        with _spool.Spool() as spool, _sender.Sender(_sender.Deadline(20), DeferredLog()) as sender:
            sender.send_all(spool)
        caller.join()
        os.close(descriptor)
        (outcome,) = outcomes
        assert outcome.state == expected[0]
        assert outcome.problem.endswith(expected[1])
    assert "INFO alert sent by another process: trigger of 'k': a" in log()


def test_a_fork_does_not_keep_the_lock(pagerduty, alerting_node):
    """A task forks while the thread of an alert that was too late still sends."""
    pagerduty.faults = [{"kind": "slow", "seconds": 3600}]
    assert alert("a", limit=0.3).state == "spooled"
    workers = [thread for thread in threading.enumerate() if thread.name == "rax-alert"]
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        for worker in workers:
            worker.join()
        up(pagerduty)
        assert alert("b", limit=20) == ("sent", "")
    finally:
        os.close(write)
        os.waitpid(child, 0)
    assert summaries(pagerduty.events) == ["t:a", "t:b"]
    assert alerting_node.files == []


def test_a_fork_does_not_keep_the_lock_of_a_process_that_is_killed(pagerduty, alerting_node):
    pagerduty.faults = [{"kind": "hang"}]
    program = (
        "import os, signal, sys, threading; from rax.alerting import trigger\n"
        "options = {'dedup_key': 'k', 'limit': 600}\n"
        "threading.Thread(target=trigger, args=['a'], kwargs=options, daemon=True).start()\n"
        "sys.stdin.readline()\n"
        "if os.fork(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        while not pagerduty.connections:
            assert process.poll() is None
            threading.Event().wait(0.01)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait() == -signal.SIGKILL
        # The fork lives until its standard input ends.
        up(pagerduty)
        assert flush() == (1, 0, 0, "")
    assert summaries(pagerduty.events) == ["t:a"]
    assert alerting_node.files == []


def test_a_handler_that_fails_changes_nothing(pagerduty):
    class Broken(logging.Handler):
        def emit(self, _):
            raise ValueError("canary")

    handler = Broken()
    logging.getLogger("rax.alerting").addHandler(handler)
    logging.getLogger("rax.alerting").setLevel(logging.INFO)
    try:
        assert alert("a") == ("sent", "")
    finally:
        logging.getLogger("rax.alerting").removeHandler(handler)
        logging.getLogger("rax.alerting").setLevel(logging.NOTSET)
    assert len(pagerduty.events) == 1


class Hostile:
    """An object whose own code fails, in the way that is given."""

    def __init__(self, error):
        self.error = error

    def fail(self, *_):
        raise self.error

    __str__ = __repr__ = __eq__ = __len__ = __iter__ = __float__ = __bool__ = fail
    __hash__ = object.__hash__


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.text(st.characters(categories=["Cs", "Cc"]))
    | st.sampled_from([ValueError("canary"), KeyError(), RecursionError(), SystemExit(3)]).map(
        Hostile
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(ANYTHING, min_size=5, max_size=5),
    st.dictionaries(st.sampled_from(["component", "group", "class_", "links", "limit"]), ANYTHING),
    ANYTHING,
)
def test_no_argument_makes_it_raise(down, arguments, options, key):  # noqa: ARG001 - its server
    for outcome in (alerting.trigger(*arguments, **options), alerting.resolve(key)):
        assert outcome.state in ("spooled", "refused", "lost")
        assert "canary" not in outcome.problem
