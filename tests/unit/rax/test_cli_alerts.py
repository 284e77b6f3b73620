"""`rax alerts`: what has not reached PagerDuty, and another try."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from rax import alerting, cli
from rax.alerting import Flushed, Spooled
from rax.errors import AlertError

KEYS = ("when", "action", "dedup_key", "summary", "problem")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def spooled(hours, summary="no file", problem="events.pagerduty.com answered 500"):
    when = NOW - timedelta(hours=hours, seconds=30)
    return Spooled(when, "trigger", "production/ebi", summary, problem)


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    spool = tmp_path / "alerts"
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(spool))
    monkeypatch.setenv("RAX_ALERTING_CREDENTIAL", "PAGERDUTY")
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path / "credentials"))
    return spool


@pytest.fixture
def rax(capsys):
    def run(*arguments):
        code = cli.main(["alerts", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def found(monkeypatch):
    """Let the spool hold something."""

    def use(pending=(), refused=(), dropped=0):
        monkeypatch.setattr(alerting, "pending", lambda: list(pending))
        monkeypatch.setattr(alerting, "refused", lambda: list(refused))
        monkeypatch.setattr(alerting, "dropped", lambda: dropped)

    return use


# status


def test_nothing_is_waiting(rax):
    assert rax("status") == (0, "all alerts were sent\n", "")


def test_alerting_that_is_not_set_up_is_no_problem(rax, monkeypatch):
    monkeypatch.delenv("RAX_ALERTING_CREDENTIAL")
    code, out, err = rax("status")
    assert (code, err) == (0, "")
    assert out.startswith("alerting is not set up: ")
    assert out.count("\n") == 1


def test_what_is_waiting(rax, found, spool, monkeypatch):
    monkeypatch.setattr("rax.cli.alerts.time", SimpleNamespace(time=NOW.timestamp))
    found([spooled(3), spooled(1, "still\x1b[2J no file", "")])
    code, out, err = rax("status")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        f"2 alerts are waiting in {spool}; `rax alerts flush` sends them",
        "AGE       ACTION   KEY             SUMMARY",
        "3 h 30 s  trigger  production/ebi  no file",
        "1 h 30 s  trigger  production/ebi  still\\x1b[2J no file",
        "  because: events.pagerduty.com answered 500",
    ]


def test_what_was_refused_or_lost(rax, found, spool):
    found(refused=[Spooled(datetime.now(UTC), "", "", "", "damaged-1.json is not JSON")], dropped=3)
    code, out, err = rax("status")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        f"1 alert is refused; remove them from {spool}/refused when seen",
        "AGE  ACTION  KEY  SUMMARY",
        "0 s  -       -    -",
        "  because: damaged-1.json is not JSON",
        f"3 lost for want of room, as the log has it; remove {spool}/dropped when seen",
    ]


def test_status_for_programs(rax, found, spool):
    found([spooled(3)], [spooled(5)], 1)
    code, out, _ = rax("status", "--json")
    assert code == 1
    status = json.loads(out)
    assert {key: status[key] for key in ("spool", "off", "dropped")} == {
        "spool": str(spool), "off": None, "dropped": 1,
    }  # fmt: skip
    for entry in (*status["pending"], *status["refused"]):
        assert tuple(entry) == KEYS
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry["when"])
    found(dropped=1)
    assert rax("status", "--json")[0] == 1
    found()
    code, out, _ = rax("status", "--json")
    assert (code, json.loads(out)["pending"]) == (0, [])


def test_a_spool_that_is_no_folder(rax, spool):
    spool.touch(0o700)
    assert rax("status") == (3, "", f"rax: {spool}: Not a directory\n")


@pytest.mark.parametrize("command", ["status", "flush"])
def test_a_spool_of_another_account(rax, spool, monkeypatch, command):
    """A person who may read the credentials may not read the alerts of the tasks."""
    spool.touch()
    monkeypatch.setattr(os, "access", lambda path, _, **__: path != spool)
    code, out, err = rax(command)
    assert (code, out) == (3, "")
    assert err.startswith(f"rax: {spool}: ")
    assert err.endswith("; alerts are for the account of the tasks alone: use `sudo rax …`\n")


# flush


@pytest.mark.parametrize(("done", "code", "loud", "quiet"), [
    (Flushed(0, 0, 0, ""), 0, "0 sent, 0 refused, 0 waiting\n", ""),
    (Flushed(2, 0, 0, ""), 0, "2 sent, 0 refused, 0 waiting\n", "2 sent, 0 refused, 0 waiting\n"),
    (Flushed(0, 0, 3, "x answered 500"), 1, "0 sent, 0 refused, 3 waiting: x answered 500\n", ""),
    (Flushed(0, 1, 0, ""), 1, "0 sent, 1 refused, 0 waiting\n", "0 sent, 1 refused, 0 waiting\n"),
])  # fmt: skip
def test_flush(rax, monkeypatch, done, code, loud, quiet):
    limits = []
    monkeypatch.setattr(alerting, "flush", lambda *, limit: limits.append(limit) or done)
    assert rax("flush") == (code, loud, "")
    assert rax("flush", "--quiet", "--limit", "5") == (code, quiet, "")
    assert limits == [20.0, 5.0]
    assert json.loads(rax("flush", "--json")[1]) == done._asdict()


def test_flush_that_cannot_be(rax, monkeypatch):
    def flush(*, limit):
        raise AlertError(f"the spool is gone within {limit:g} s")

    monkeypatch.setattr(alerting, "flush", flush)
    assert rax("flush", "--quiet") == (3, "", "rax: the spool is gone within 20 s\n")


def test_an_alert_on_its_way(rax, tmp_path, monkeypatch):
    """The real spool, and a PagerDuty that is not there."""
    monkeypatch.setenv("RAX_ALERTING_URL", "https://127.0.0.1:1")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    file = credentials / "PAGERDUTY.json"
    file.touch(0o600)
    fields = {"user": "-", "host": "-", "pass": "r0uting-key-canary", "url": "", "description": ""}
    file.write_text(json.dumps(fields | {"metadata": {}}))
    outcome = alerting.trigger("no file", dedup_key="production/ebi", limit=0.5)
    assert outcome.state == "spooled"
    code, out, err = rax("flush", "--limit", "0.5")
    assert code == 1
    assert out.startswith("0 sent, 0 refused, 1 waiting: 127.0.0.1:1 ")
    shown = rax("status")
    assert shown[0] == 1
    assert "1 alert is waiting" in shown[1]
    assert "no file" in shown[1]
    assert "canary" not in out + err + shown[1] + shown[2]
