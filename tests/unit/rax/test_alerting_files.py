"""The spool's files: their modes, damaged ones, and a folder that cannot be used."""

import contextlib
import fcntl
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from rax.alerting import _sender, _spool, dropped, flush, pending, refused
from rax.errors import AlertError
from tests.unit.rax.alerting_testing import DOWN, alert, events_of, summaries, up


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
