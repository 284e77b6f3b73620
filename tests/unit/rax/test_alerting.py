"""Alerts against a PagerDuty over TLS that is strict, slow, down or somebody else."""

import json
import logging
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

import rax
from rax.alerting import resolve, trigger
from rax.credentials import get_credentials
from rax.errors import AlertError, RaxError
from tests.fakes.pagerduty import EVENTS, PATH, PagerDuty, event_problems

ROOT = Path(rax.__file__).parents[2]
ROUTING_KEY = "0123456789abcdefROUTINGKEY456789"
SECRET = 's3cr3t "canary"/ü'


def write_credential(folder, name, **fields):
    file = folder / f"{name}.json"
    file.touch(0o600)
    empty = {"user": "u", "host": "h", "url": "", "description": "", "metadata": {}}
    file.write_text(json.dumps(empty | fields))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("RAX_ALERTING_CREDENTIAL", "RAX_ALERTING_URL", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    write_credential(folder, "PAGERDUTY", **{"pass": ROUTING_KEY})
    return folder


@pytest.fixture(scope="module")
def server():
    with PagerDuty({"routing_keys": [ROUTING_KEY]}) as fake:
        yield fake


@pytest.fixture
def pagerduty(server, folder, monkeypatch):  # noqa: ARG001 - the credential it takes
    server.forget()
    server.events.clear()
    server.open.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_path))
    monkeypatch.setenv("RAX_ALERTING_URL", server.url)
    return server


@pytest.fixture
def pauses(monkeypatch):
    """Return the pauses of the client, which it does not take."""
    import pagerduty.api_client

    pauses = []
    monkeypatch.setattr(pagerduty.api_client, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


def alert(summary="no new file", details=None, key="production/ebi", **options):
    trigger(summary, "error", "worker1", {} if details is None else details, key, **options)


def statuses(fake):
    return [request["status"] for request in fake.requests]


def test_an_incident_opens_and_closes(pagerduty):
    alert(details={"folder": "/data/ebi"})
    assert pagerduty.open == {"production/ebi": 1}
    resolve("production/ebi")
    assert pagerduty.open == {}
    assert pagerduty.events == [
        {
            "event_action": "trigger",
            "dedup_key": "production/ebi",
            "payload": {
                "summary": "no new file",
                "severity": "error",
                "source": "worker1",
                "custom_details": {"folder": "/data/ebi"},
            },
        },
        {"event_action": "resolve", "dedup_key": "production/ebi"},
    ]
    assert [request["path"] for request in pagerduty.requests] == [PATH, PATH]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("", "error", "w", {}, "k"), "an alert needs a summary", id="summary"),
        pytest.param(("s", "error", " ", {}, "k"), "an alert needs a source", id="source"),
        pytest.param(("s", "error", "w", {}, ""), "an alert needs a dedup_key", id="key"),
        pytest.param(
            ("s", "fatal", "w", {}, "k"),
            "the severity of an alert is one of critical, error, warning, info, not 'fatal'",
            id="severity",
        ),
    ],
)
def test_what_pagerduty_would_refuse_is_not_sent(pagerduty, arguments, message):
    with pytest.raises(AlertError) as caught:
        trigger(*arguments)
    assert str(caught.value) == message
    assert isinstance(caught.value, RaxError)
    assert pagerduty.requests == []


# Faults: all of them end, and say what happened.


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        pytest.param(
            {"kind": "status", "status": 429}, "{host} answered 429 (5 attempts)", 5, id="429"
        ),
        pytest.param(
            {"kind": "status", "status": 500}, "{host} answered 500 (5 attempts)", 5, id="500"
        ),
        pytest.param(
            {"kind": "status", "status": 503}, "{host} answered 503 (5 attempts)", 5, id="503"
        ),
        pytest.param({"kind": "status", "status": 400}, "{host} answered 400", 1, id="400"),
        pytest.param({"kind": "status", "status": 401}, "{host} answered 401", 1, id="401"),
        pytest.param(
            {"kind": "status", "status": 302, "location": "https://other.invalid/"},
            "{host} answered 302",
            1,
            id="redirect",
        ),
        pytest.param(
            {"kind": "content_type"},
            "{host} answered 200, but not as PagerDuty does",
            1,
            id="web page",
        ),
        pytest.param(
            {"kind": "keyless"},
            "{host} answered 202, but not as PagerDuty does",
            1,
            id="no key in the answer",
        ),
        pytest.param(
            {"kind": "truncated"},
            "{host} answered 202, but not as PagerDuty does",
            1,
            id="truncated",
        ),
        pytest.param({"kind": "reset"}, "{host} cannot be reached: ", 5, id="reset"),
    ],
)
def test_a_fault_ends_in_an_error(pagerduty, pauses, fault, message, requests):
    pagerduty.faults = [fault]
    with pytest.raises(AlertError) as caught:
        alert()
    host = pagerduty.url.removeprefix("https://")
    expected = "PagerDuty did not take the trigger of 'production/ebi': " + message
    assert str(caught.value).startswith(expected.format(host=host))
    assert len(pagerduty.requests) == requests
    # Of 20 seconds.
    assert pauses == [1, 2, 4, 8][: requests - 1]
    assert ROUTING_KEY[-4:] not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "status", "status": 429, "times": 2}, id="429 twice"),
        pytest.param({"kind": "status", "status": 503, "times": 4}, id="503 four times"),
        pytest.param({"kind": "reset", "times": 2}, id="reset twice"),
    ],
)
def test_a_passing_fault_is_sat_out(pagerduty, pauses, fault):
    pagerduty.faults = [fault]
    alert()
    assert len(pauses) == fault["times"]
    assert pagerduty.open == {"production/ebi": 1}


def test_one_request_that_hangs_does_not_take_the_whole_limit(pagerduty):
    pagerduty.faults = [{"kind": "hang", "times": 1}]
    alert(limit=2)
    assert statuses(pagerduty) == [None, 202]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "hang"}, id="hang"),
        # Each byte is in time; only the whole call is not.
        pytest.param({"kind": "trickle", "seconds": 0.05}, id="byte by byte"),
    ],
)
def test_the_limit_is_for_the_whole_call(pagerduty, fault):
    pagerduty.faults = [fault]
    with pytest.raises(AlertError, match=r"did not accept it within 0\.4 s"):
        alert(limit=0.4)


def test_after_the_limit_nothing_more_is_sent(pagerduty):
    pagerduty.faults = [{"kind": "hang"}]
    before = set(threading.enumerate())
    with pytest.raises(AlertError):
        alert(limit=0.4)
    for worker in set(threading.enumerate()) - before:
        if worker.name == "rax-alert":
            worker.join()
    assert 0 < len(pagerduty.requests) < 5


@pytest.mark.usefixtures("pagerduty", "pauses")
def test_a_closed_port_is_named(monkeypatch):
    monkeypatch.setenv("RAX_ALERTING_URL", "https://localhost:1")
    with pytest.raises(AlertError, match=r"localhost:\d+ cannot be reached: .*refused"):
        alert()


@pytest.mark.usefixtures("folder", "pauses")
def test_another_hosts_certificate_is_refused(monkeypatch):
    with PagerDuty(names=("other.example",)) as fake:
        monkeypatch.setenv("SSL_CERT_FILE", str(fake.ca_path))
        monkeypatch.setenv("RAX_ALERTING_URL", fake.url)
        with pytest.raises(AlertError, match=r"certificate is not valid for 'localhost'"):
            alert()
        assert fake.requests == []


@pytest.mark.usefixtures("pauses")
def test_an_unknown_authority_is_refused(pagerduty, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(AlertError, match="CERTIFICATE_VERIFY_FAILED"):
        alert()
    assert pagerduty.requests == []


@pytest.mark.usefixtures("pagerduty")
def test_a_missing_ca_file_is_named(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    with pytest.raises(AlertError, match="look at SSL_CERT_FILE and SSL_CERT_DIR: No such file"):
        alert()


# The routing key


def test_no_error_and_no_log_has_the_routing_key(pagerduty, caplog):
    """Not even when PagerDuty quotes it, and not in the variables of a frame either."""
    caplog.set_level(logging.DEBUG)
    pagerduty.faults = [{"kind": "refused"}]
    with pytest.raises(AlertError, match=r"answered 400: .*\*\*\*") as caught:
        alert()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    for text in ("".join(shown.format()), caplog.text, json.dumps(pagerduty.requests)):
        assert ROUTING_KEY not in text
    assert caught.value.__cause__ is None


@pytest.mark.usefixtures("pagerduty")
def test_the_reasons_of_a_refusal_are_shown(folder):
    write_credential(folder, "PAGERDUTY", **{"pass": "f" * 32})
    with pytest.raises(AlertError, match=r"answered 400: 'routing_key' is unknown$"):
        alert()


def test_the_credential_has_another_name(pagerduty, folder, monkeypatch):
    (folder / "PAGERDUTY.json").rename(folder / "TEAM-B.json")
    monkeypatch.setenv("RAX_ALERTING_CREDENTIAL", "TEAM-B")
    alert()
    assert len(pagerduty.events) == 1


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(
            lambda file: file.unlink(),
            "the routing key cannot be read: no credential 'PAGERDUTY' in ",
            id="missing",
        ),
        pytest.param(
            lambda file: file.chmod(0o644),
            "the routing key cannot be read: ",
            id="readable by others",
        ),
    ],
)
def test_without_a_routing_key_nothing_is_sent(pagerduty, folder, prepare, message):
    prepare(folder / "PAGERDUTY.json")
    with pytest.raises(AlertError) as caught:
        alert()
    assert message in str(caught.value)
    assert pagerduty.requests == []


# Where events go


@pytest.mark.parametrize("suffix", ["", "/", PATH, f"{PATH}/"])
@pytest.mark.parametrize("place", ["environment", "metadata", "url"])
def test_the_address_comes_from(pagerduty, folder, monkeypatch, place, suffix):
    address = pagerduty.url + suffix
    wrong = "https://127.0.0.1:1"
    monkeypatch.delenv("RAX_ALERTING_URL")
    if place == "environment":
        monkeypatch.setenv("RAX_ALERTING_URL", address)
    fields = {
        "environment": {"url": wrong, "metadata": {"events_url": wrong}},
        "metadata": {"url": wrong, "metadata": {"events_url": address}},
        "url": {"url": address.replace("https://", "https://user:word@")},
    }[place]
    write_credential(folder, "PAGERDUTY", **{"pass": ROUTING_KEY}, **fields)
    alert()
    assert statuses(pagerduty) == [202]


@pytest.mark.parametrize(
    "url", ["", "https://acme.pagerduty.com/services/P1", "https://pagerduty.com"]
)
def test_the_address_of_an_accounts_web_page_is_not_that_of_events(folder, monkeypatch, url):
    write_credential(folder, "PAGERDUTY", **{"pass": ROUTING_KEY, "url": url})
    # A proxy that is not there: nothing leaves this machine.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(AlertError, match=r": events\.pagerduty\.com (cannot|did not)"):
        alert(limit=0.3)


@pytest.mark.parametrize(
    "url", ["http://events.pagerduty.com", "events.pagerduty.com", "https://", "https://h:port/"]
)
def test_an_address_without_https_is_refused(folder, url):
    write_credential(folder, "PAGERDUTY", **{"pass": ROUTING_KEY, "url": url})
    with pytest.raises(AlertError, match="url of PAGERDUTY is not an https:// URL, such as"):
        alert()


# What is sent


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
def test_no_secret_of_the_node_is_sent(pagerduty, folder, text):
    url = "https://etl:another%2Dpassword@db/"
    metadata = {"api_token": "api-token-of-ebi", "env": "prod", "port": 5432}
    write_credential(folder, "EBI", **{"pass": SECRET, "url": url, "metadata": metadata})
    write_credential(folder, "PIN", **{"pass": "123456789"})
    details = {"text": text, f"key {text}": [{"deep": f"before {text} after prod"}]}
    trigger(f"failed: {text}", "error", f"worker {text}", details, f"key/{text}")
    resolve(f"key/{text}")
    sent = json.dumps(pagerduty.events, ensure_ascii=False)
    assert str(text) not in sent
    assert "canary" not in sent
    assert "before" in sent
    assert "prod" in sent
    assert pagerduty.open == {}


def test_a_secret_is_masked_before_a_text_is_cut(pagerduty, folder):
    write_credential(folder, "LONG", **{"pass": "canary" * 50})
    alert(summary="x" * 900 + "canary" * 50)
    assert "canary" not in json.dumps(pagerduty.events)


def test_passwords_that_are_ordinary_words_leave_the_event_whole(pagerduty, folder):
    for index, word in enumerate(["error", "summary", "payload", "trigger", "severity", "a"]):
        write_credential(folder, f"C{index}", **{"pass": word})
    alert(summary="an error")
    assert pagerduty.events[0]["payload"]["summary"] == "an ***"


def test_a_credential_in_the_details_shows_its_name_alone(pagerduty, folder):
    write_credential(folder, "SHORT", **{"pass": "abc", "metadata": {"x": "abc"}})
    alert(details={"source": get_credentials("SHORT")})
    details = pagerduty.events[0]["payload"]["custom_details"]
    assert details == {"source": "Credential('SHORT', user='u', host='h', pass='***')"}


def test_a_credential_that_cannot_be_read_does_not_stop_an_alert(pagerduty, folder):
    (folder / "BROKEN.json").write_text("{")
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


# The package


def test_importing_it_is_cheap():
    program = (
        "import sys, rax.alerting;"
        "print(sorted({'airflow', 'yaml', 'pagerduty', 'httpx2', 'ssl'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"


@pytest.mark.usefixtures("pagerduty")
def test_a_missing_client_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pagerduty", None)
    with pytest.raises(AlertError, match="the package 'pagerduty' is not installed here"):
        alert()


# The fake: its own look at the schema is that of the real validator.

GOOD = {
    "routing_key": ROUTING_KEY,
    "event_action": "trigger",
    "dedup_key": "k",
    "payload": {"summary": "s", "source": "h", "severity": "info", "custom_details": {"a": [1]}},
    "client": "c",
    "client_url": "https://c/",
    "links": [{"href": "https://l/", "text": "t"}],
    "images": [{"src": "https://i/"}],
}
RESOLVE = {"routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": "k"}


def bad_events():
    for name, value in [
        ("routing_key", "short"),
        ("routing_key", None),
        ("event_action", "open"),
        ("event_action", []),
        ("dedup_key", "k" * 256),
        ("dedup_key", ""),
        ("dedup_key", 1),
        ("payload", {}),
        ("payload", "p"),
        ("payload", GOOD["payload"] | {"summary": "s" * 1025}),
        ("payload", GOOD["payload"] | {"severity": "fatal"}),
        ("payload", GOOD["payload"] | {"custom_details": "text"}),
        ("payload", GOOD["payload"] | {"extra": 1}),
        ("links", [{"text": "t"}]),
        ("links", {}),
        ("images", [{"src": "http://i/"}]),
        ("unknown", 1),
    ]:
        yield pytest.param(GOOD | {name: value}, id=f"{name}-{str(value)[:40]}")
    yield pytest.param({k: v for k, v in GOOD.items() if k != "payload"}, id="no payload")
    yield pytest.param({k: v for k, v in RESOLVE.items() if k != "dedup_key"}, id="no key")
    yield pytest.param(RESOLVE | {"payload": GOOD["payload"]}, id="resolve with a payload")
    yield pytest.param([], id="a list")


@pytest.mark.parametrize("event", [GOOD, RESOLVE, RESOLVE | {"event_action": "acknowledge"}])
def test_the_fake_takes_what_the_schema_allows(event):
    jsonschema.validate(event, EVENTS[event["event_action"]])
    assert event_problems(event) == []


@pytest.mark.parametrize("event", list(bad_events()))
def test_the_fake_refuses_what_the_schema_forbids(event):
    action = event.get("event_action") if isinstance(event, dict) else None
    schema = EVENTS[action if isinstance(action, str) and action in EVENTS else "trigger"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schema)
    assert event_problems(event) != []


@pytest.mark.usefixtures("folder")
def test_the_fake_runs_as_a_program(tmp_path, monkeypatch):
    (tmp_path / "vault.json").write_text(json.dumps({"routing_keys": [ROUTING_KEY]}))
    command = [sys.executable, ROOT / "tests/fakes/pagerduty.py", "--directory", tmp_path]
    with subprocess.Popen(command) as process:
        try:
            url = wait_for(tmp_path / "url", process)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            monkeypatch.setenv("RAX_ALERTING_URL", url)
            alert()
        finally:
            process.kill()
    (event,) = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert event["payload"]["summary"] == "no new file"
    assert ROUTING_KEY not in (tmp_path / "events.jsonl").read_text()
    assert ROUTING_KEY not in (tmp_path / "requests.jsonl").read_text()


def wait_for(file, process):
    """Return the file's text once it is there."""
    while not file.exists():
        assert process.poll() is None, "the fake has ended"
        threading.Event().wait(0.02)
    return file.read_text().strip()
