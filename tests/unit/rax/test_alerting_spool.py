"""What cannot be sent stays on this node's disk, and is sent later: in order, once, and bounded."""

import os
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

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
)
from rax.credentials import get_credentials
from rax.errors import StaleCredentialError, UnreadableCredentialError
from tests.fakes.pagerduty import PagerDuty
from tests.unit.rax.alerting_testing import ROUTING_KEY, alert, events_of, statuses, summaries, up

OTHER_KEY = "fedcba9876543210OTHERKEY98765432"


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


def test_an_alert_without_any_time_is_only_spooled(pagerduty, log):
    assert alert("a", limit=0) == ("spooled", "")
    assert log() == ["INFO alert spooled, to be sent later: trigger of 'k': a"]
    assert pagerduty.requests == []
    assert alert("b") == ("sent", "")
    assert summaries(pagerduty.events) == ["t:a", "t:b"]


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
