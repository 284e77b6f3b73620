"""What an alert sends: anything that it is given, without secrets, as long as PagerDuty takes."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rax.alerting import dedup_key, resolve, trigger
from rax.alerting._deadline import limit_seconds
from rax.alerting._deferred_log import DeferredLog
from rax.credentials import get_credentials
from tests.unit.rax.alerting_testing import ROUTING_KEY, summaries

SECRET = 's3cr3t "canary"/ü'


def alert(summary="no new file", details=None, key="production/ebi", **options):
    outcome = trigger(summary, "error", "worker1", details, key, **options)
    assert outcome == ("sent", "")


class Unprintable:
    def __str__(self):
        raise ValueError(SECRET)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="truth"),
        pytest.param(3, 3, id="number"),
        pytest.param(2**70, str(2**70), id="large number"),
        pytest.param(0.5, 0.5, id="fraction"),
        pytest.param(float("nan"), "nan", id="not a number"),
        pytest.param((1, "a"), [1, "a"], id="tuple"),
        pytest.param({1: {"b"}}, {"1": ["b"]}, id="mapping"),
        pytest.param(b"\xff", r"b'\xff'", id="bytes"),
        pytest.param(Path("/data"), "/data", id="path"),
        pytest.param(ValueError("why"), "why", id="exception"),
        pytest.param("a\udcffb", "a?b", id="surrogate"),
        pytest.param(Unprintable(), "a Unprintable that cannot be shown", id="unprintable"),
    ],
)
def test_details_hold_anything(pagerduty, value, sent):
    alert(details={"value": value})
    assert pagerduty.events[0]["payload"]["custom_details"] == {"value": sent}


def test_endless_details_end(pagerduty):
    details = {}
    details["self"] = details
    alert(details=details)
    assert len(pagerduty.events) == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(repr(SECRET), id="repr"),
        pytest.param(json.dumps({"a": SECRET}), id="JSON"),
        pytest.param(json.dumps({"a": SECRET}, ensure_ascii=False), id="JSON in UTF-8"),
        pytest.param("postgresql://etl:s3cr3t%20%22canary%22%2F%C3%BC@db/", id="URL"),
        pytest.param("a=1&pass=s3cr3t+%22canary%22%2F%C3%BC", id="form"),
        pytest.param("api-token-of-ebi", id="secret metadata"),
        pytest.param("another-password", id="password in a URL"),
        pytest.param(ROUTING_KEY, id="routing key"),
        pytest.param(123456789, id="number"),
    ],
)
@pytest.mark.usefixtures("pauses")
def test_no_secret_of_the_node_is_sent(pagerduty, alerting_node, log, text):
    url = "https://etl:another%2Dpassword@db/"
    metadata = {"api_token": "api-token-of-ebi", "env": "prod", "port": 5432}
    alerting_node.write_credential("EBI", SECRET, url=url, metadata=metadata)
    alerting_node.write_credential("PIN", "123456789")
    details = {"text": text, f"key {text}": [{"deep": f"before {text} after prod"}]}
    # First into the spool, then out of it.
    for fault in ({"kind": "status", "status": 413}, {"kind": "status", "status": 503}, None):
        pagerduty.faults = [fault] if fault else []
        trigger(
            f"failed: {text}",
            text,
            f"worker {text}",
            details,
            f"key/{text}",
            component=text,
            group=text,
            class_=text,
            links={text: f"https://h/{text}", "more": text},
        )
        resolve(f"key/{text}")
    written = [json.loads(file.read_text()) for file in alerting_node.spool.rglob("*.json")]
    assert len(written) == 2
    kept = json.dumps([written, log()], ensure_ascii=False)
    assert str(text) not in kept
    assert "canary" not in kept
    assert len(pagerduty.events) == 4
    sent = json.dumps(pagerduty.events, ensure_ascii=False)
    assert str(text) not in sent
    assert "canary" not in sent
    assert "before" in sent
    assert "prod" in sent
    assert pagerduty.open == {}


def test_a_secret_is_masked_before_a_text_is_cut(pagerduty, alerting_node):
    alerting_node.write_credential("LONG", "canary" * 50)
    alert(summary="x" * 900 + "canary" * 50)
    assert "canary" not in json.dumps(pagerduty.events)


def test_passwords_that_are_ordinary_words_leave_the_event_whole(pagerduty, alerting_node):
    for index, word in enumerate(["error", "summary", "payload", "trigger", "severity", "a"]):
        alerting_node.write_credential(f"C{index}", word)
    alert(summary="an error")
    assert pagerduty.events[0]["payload"]["summary"] == "an ***"


def test_a_credential_in_the_details_shows_its_name_alone(pagerduty, alerting_node):
    alerting_node.write_credential("SHORT", "abc", metadata={"x": "abc"})
    alert(details={"source": get_credentials("SHORT")})
    details = pagerduty.events[0]["payload"]["custom_details"]
    assert details == {"source": "Credential('SHORT', user='u', host='h', pass='***')"}


def test_a_credential_that_cannot_be_read_does_not_stop_an_alert(pagerduty, alerting_node):
    (alerting_node.credentials / "BROKEN.json").write_text("{")
    alert()
    assert len(pagerduty.events) == 1


@pytest.mark.parametrize("letter", ["x", "ü", "🚀"])
def test_long_texts_are_cut_to_pagerdutys_limits(pagerduty, letter):
    trigger(letter * 5000, "error", letter * 5000, {"log": letter * 10**6}, letter * 300)
    (event,) = pagerduty.events
    assert event["payload"]["summary"] == letter * 1023 + "…"
    assert event["payload"]["custom_details"]["log"].endswith("…")
    assert len(event["dedup_key"]) == 255
    resolve(letter * 300)
    assert pagerduty.open == {}


def test_long_keys_that_differ_stay_different(pagerduty):
    alert(key="k" * 300 + "1")
    alert(key="k" * 300 + "2")
    assert len(pagerduty.open) == 2


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({str(i): "x" * 1000 for i in range(2000)}, id="many keys"),
        pytest.param({"rows": [["y" * 100] * 100] * 100}, id="many rows"),
        pytest.param({"k" * 600_000: 1}, id="a long key"),
        pytest.param({f"{i} {'k' * 60_000}": {"a": ["🚀" * 60_000]} for i in range(9)}, id="all"),
    ],
)
def test_large_details_are_cut_as_far_as_it_takes(pagerduty, details):
    alert(details=details)
    sent = pagerduty.events[0]["payload"]["custom_details"]
    assert "…" in json.dumps(sent, ensure_ascii=False)
    # Not more than needed, either.
    assert len(json.dumps(sent)) > 30_000


def test_a_secret_of_before_a_rotation_is_masked_where_airflow_knows_it(pagerduty, monkeypatch):
    """A task has read it, and fails with it in an error after the file has changed."""

    def redact(value, *_):
        assert isinstance(value, str)
        return value.replace("old-canary", "***")

    name = "airflow.sdk._shared.secrets_masker"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(redact=redact))
    alert(summary="failed with old-canary", details={"old-canary": [{"password": "old-canary"}]})
    payload = pagerduty.events[0]["payload"]
    assert payload["summary"] == "failed with ***"
    assert payload["custom_details"] == {"***": [{"password": "***"}]}


def test_a_task_does_not_tell_its_supervisor_all_that_the_node_has(
    pagerduty, alerting_node, monkeypatch
):
    told = []
    masker = SimpleNamespace(mask_secret=told.append, redact=lambda text: text)
    monkeypatch.setitem(sys.modules, "airflow", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "airflow.sdk._shared.secrets_masker", masker)
    alerting_node.write_credential("EBI", SECRET)
    alert(summary=SECRET)
    assert pagerduty.events[0]["payload"]["summary"] == "***"
    assert told == []


# Arguments that PagerDuty would refuse are mended, and that is said.


@pytest.mark.parametrize(
    ("arguments", "sent", "mended"),
    [
        pytest.param(
            {"severity": "fatal"},
            {"severity": "error"},
            "the severity of an alert is one of critical, error, warning, info, not 'fatal'",
            id="unknown severity",
        ),
        pytest.param(
            {"severity": None},
            {"severity": "error"},
            "the severity of an alert is one of critical, error, warning, info, not None",
            id="no severity",
        ),
        pytest.param(
            {"summary": " \n"},
            {"summary": "an alert without a summary"},
            "it has no summary",
            id="empty summary",
        ),
        pytest.param(
            {"source": ""}, {"source": os.uname().nodename}, "it has no source", id="empty source"
        ),
        pytest.param(
            {"details": ["a"]},
            {"custom_details": {"details": ["a"]}},
            "its details are no mapping",
            id="details that are a list",
        ),
        pytest.param(
            {"links": {"run": "http://h/1"}},
            {"custom_details": {"links": {"run": "http://h/1"}}},
            "some links are no https:// addresses",
            id="a link without TLS",
        ),
        pytest.param({"dedup_key": " "}, {}, "it has no dedup_key", id="empty key"),
    ],
)
def test_what_is_wrong_is_mended(pagerduty, log, arguments, sent, mended):
    good = {"summary": "s", "severity": "info", "dedup_key": "k"}
    assert trigger(**(good | arguments)).state == "sent"
    payload = pagerduty.events[0]["payload"]
    assert payload["custom_details"].pop("mended") == [mended]
    expected = {"summary": "s", "severity": "info", "custom_details": {}} | sent
    assert payload | expected == payload
    assert f"ERROR alert mended: {mended}" in log()


class Unlimited(float):
    def __lt__(self, _):
        raise ValueError(SECRET)

    __gt__ = __lt__


@pytest.mark.parametrize("limit", [None, "soon", "20", float("nan"), [], Unlimited(20)])
def test_a_limit_that_is_none_is_mended(pagerduty, log, limit):
    assert trigger("s", limit=limit).state == "sent"
    assert "ERROR alert mended: its limit is no number of seconds" in log()
    assert len(pagerduty.events) == 1


@pytest.mark.parametrize(
    ("limit", "within"),
    [(10**400, 3600), (float("inf"), 3600), (5, 5), (0, 0.1), (-(10**400), 0.1), (-1.0, 0.1)],
)
def test_a_limit_is_within_bounds(log, limit, within):
    deferred = DeferredLog()
    assert limit_seconds(limit, deferred) == within
    deferred.write()
    assert log() == []


@pytest.mark.parametrize("key", ["", " ", None])
def test_without_a_key_there_is_nothing_to_resolve(pagerduty, log, key):
    assert resolve(key) == ("refused", "an alert needs a dedup_key")
    assert log() == ["ERROR not an alert: an alert needs a dedup_key"]
    assert pagerduty.requests == []


def test_all_that_an_event_may_have(pagerduty):
    links = {"The run": "https://airflow.example/runs/1", "space": "https://h/a b", "no": None}
    alert(component="load", group="ebi", class_="data", links=links)
    (event,) = pagerduty.events
    assert event["links"] == [{"href": "https://airflow.example/runs/1", "text": "The run"}]
    payload = event["payload"]
    assert (payload["component"], payload["group"], payload["class"]) == ("load", "ebi", "data")
    assert payload["custom_details"]["links"] == {"space": "https://h/a b", "no": None}


def test_at_most_ten_links_are_sent_as_such(pagerduty):
    alert(links={f"{number}": f"https://h/{number}" for number in range(12)})
    assert len(pagerduty.events[0]["links"]) == 10
    assert len(pagerduty.events[0]["payload"]["custom_details"]["links"]) == 2


# Keys


def test_a_workflow_has_a_key_per_environment(monkeypatch):
    monkeypatch.delenv("RAX_ENVIRONMENT", raising=False)
    assert dedup_key("ebi_load") == "default/ebi_load"
    monkeypatch.setenv("RAX_ENVIRONMENT", "production")
    assert dedup_key("ebi_load") == "production/ebi_load"


def test_in_a_task_the_key_is_the_workflows(pagerduty, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "ebi_load")
    monkeypatch.setenv("RAX_ENVIRONMENT", "lab")
    for summary in ("no rows", "no file"):
        trigger(summary)
    assert pagerduty.open == {"lab/ebi_load": 2}


def test_elsewhere_equal_alerts_of_a_host_share_one(pagerduty):
    for summary, source in [("a", "h1"), ("a", "h1"), ("b", "h1"), ("a", "h2")]:
        trigger(summary, source=source)
    assert pagerduty.open == {"default/h1/a": 2, "default/h1/b": 1, "default/h2/a": 1}


@pytest.fixture
def known(alerting_node, monkeypatch):
    """Have the node know a password that is a word of a workflow's name."""
    monkeypatch.setenv("RAX_ENVIRONMENT", "prod")
    alerting_node.write_credential("WORD", "daily")
    return alerting_node.credentials / "WORD.json"


def test_the_key_of_a_workflow_is_the_same_whatever_a_node_knows(pagerduty, known):
    alert(summary="daily", key=dedup_key("daily_load"))
    assert summaries(pagerduty.events) == ["t:***"]
    assert pagerduty.open == {"prod/daily_load": 1}
    known.unlink()
    resolve(dedup_key("daily_load"))
    assert pagerduty.open == {}


@pytest.mark.usefixtures("known")
def test_one_who_knows_a_password_closes_by_the_same_key(pagerduty):
    resolve(dedup_key("daily_load"))
    resolve(dedup_key("daily" * 60))
    resolve(dedup_key("load") + "/daily")
    closed, long, own = [event["dedup_key"] for event in pagerduty.events]
    assert (closed, own) == ("prod/daily_load", "prod/load/***")
    assert long.startswith("prod/dailydaily")
    assert len(long) == 255


@pytest.mark.usefixtures("known")
def test_in_a_task_the_workflows_key_is_the_same_too(pagerduty, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "daily_load")
    trigger("daily")
    assert summaries(pagerduty.events) == ["t:***"]
    assert pagerduty.open == {"prod/daily_load": 1}


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        pytest.param("prod/daily_load", "prod/***_load", id="an author's"),
        pytest.param(None, "prod/h/no *** file", id="source and summary"),
    ],
)
@pytest.mark.usefixtures("known")
def test_all_other_keys_are_masked(pagerduty, key, sent):
    trigger("no daily file", source="h", dedup_key=key)
    assert pagerduty.open == {sent: 1}
    resolve(key or "prod/h/no daily file")
    assert pagerduty.open == {}


def test_objects_that_hold_each_other_end(pagerduty):
    """Three ways at each of twenty levels are more than anything could send."""
    details = {}
    details |= dict.fromkeys("abc", details)
    for name in "abc":
        details[name] = details
    alert(details=details)
    assert len(pagerduty.events) == 1
