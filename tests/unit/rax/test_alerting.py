"""Alerts against a PagerDuty over TLS that is strict, slow, down or somebody else."""

import json
import logging
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pagerduty as pagerduty_client
import pytest

import rax
from rax.alerting import deliver, resolve, trigger
from rax.errors import AlertError, RaxError
from tests.fakes.pagerduty import EVENTS, PATH, PagerDuty, event_problems
from tests.unit.rax.alerting_testing import ROUTING_KEY, statuses

ROOT = Path(rax.__file__).parents[2]


def alert(key="production/ebi", **options):
    deliver("trigger", key, summary="no new file", source="worker1", **options)


def test_an_incident_opens_and_closes(pagerduty):
    details = {"folder": "/data/ebi"}
    opened = trigger("no new file", "error", "worker1", details, "production/ebi")
    assert pagerduty.open == {"production/ebi": 1}
    closed = resolve("production/ebi")
    assert pagerduty.open == {}
    assert opened == closed == ("sent", "")
    time = datetime.fromisoformat(pagerduty.events[0]["payload"].pop("timestamp"))
    assert datetime.now(UTC) - time < timedelta(minutes=1)
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
        pytest.param({"summary": ""}, "an alert needs a summary", id="summary"),
        pytest.param({"source": " "}, "an alert needs a source", id="source"),
        pytest.param({"dedup_key": ""}, "an alert needs a dedup_key", id="key"),
        pytest.param(
            {"severity": "fatal"},
            "the severity of an alert is one of critical, error, warning, info, not 'fatal'",
            id="severity",
        ),
        pytest.param(
            {"action": "acknowledge"},
            "the action of an alert is trigger or resolve, not 'acknowledge'",
            id="action",
        ),
    ],
)
def test_what_pagerduty_would_refuse_is_not_delivered(pagerduty, arguments, message):
    good = {"action": "trigger", "dedup_key": "k", "summary": "s", "severity": "error"}
    with pytest.raises(AlertError) as caught:
        deliver(**(good | arguments))
    assert str(caught.value) == message
    assert isinstance(caught.value, RaxError)
    assert pagerduty.requests == []


def test_what_is_delivered_goes_past_the_spool(pagerduty, alerting_node):
    alert()
    deliver("resolve", "production/ebi")
    assert [event["event_action"] for event in pagerduty.events] == ["trigger", "resolve"]
    pagerduty.faults = [{"kind": "status", "status": 400}]
    with pytest.raises(AlertError):
        alert()
    assert not alerting_node.spool.exists()


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


@pytest.mark.parametrize("kind", ["keyless", "truncated", "cut"])
def test_what_is_accepted_is_accepted_however_the_answer_ends(pagerduty, kind):
    pagerduty.faults = [{"kind": kind}]
    alert()
    assert pagerduty.open == {"production/ebi": 1}


def test_one_request_that_hangs_does_not_take_the_whole_limit(pagerduty):
    pagerduty.faults = [{"kind": "hang", "times": 1}]
    alert(limit=2)
    assert statuses(pagerduty) == [None, 202]


def test_a_hang_ends(pagerduty):
    pagerduty.faults = [{"kind": "hang"}]
    # The latter where the machine is slow.
    hung = r"timed out( \(\d attempts\))?$|did not accept it within 1 s$"
    with pytest.raises(AlertError, match=hung):
        alert(limit=1)
    assert 0 < len(pagerduty.requests) < 5


def test_the_limit_is_for_the_whole_call(pagerduty, monkeypatch):
    """An answer that comes byte by byte keeps each time limit of the client; it is cut."""
    patience = property(lambda _: 60, lambda _, _seconds: None)
    monkeypatch.setattr(pagerduty_client.EventsApiV2Client, "timeout", patience)
    # A hundred bytes are fifty seconds.
    pagerduty.faults = [{"kind": "trickle", "seconds": 0.5}]
    with pytest.raises(AlertError, match=r"localhost:\d+ did not accept it within 0\.5 s"):
        alert(limit=0.5)
    for worker in threading.enumerate():
        if worker.name == "rax-alert":
            worker.join(10)
            assert not worker.is_alive()
    assert len(pagerduty.requests) == 1


@pytest.mark.usefixtures("pagerduty", "pauses")
def test_a_closed_port_is_named(monkeypatch):
    monkeypatch.setenv("RAX_ALERTING_URL", "https://localhost:1")
    with pytest.raises(AlertError, match=r"localhost:\d+ cannot be reached: .*refused"):
        alert()


@pytest.mark.usefixtures("alerting_node", "pauses")
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
def test_the_reasons_of_a_refusal_are_shown(alerting_node):
    alerting_node.write_credential("PAGERDUTY", "f" * 32)
    with pytest.raises(AlertError, match=r"answered 400: 'routing_key' is unknown$"):
        alert()


def test_the_credential_has_another_name(pagerduty, alerting_node, monkeypatch):
    (alerting_node.credentials / "PAGERDUTY.json").rename(alerting_node.credentials / "TEAM-B.json")
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
def test_without_a_routing_key_nothing_is_sent(pagerduty, alerting_node, prepare, message):
    prepare(alerting_node.credentials / "PAGERDUTY.json")
    with pytest.raises(AlertError) as caught:
        alert()
    assert message in str(caught.value)
    assert pagerduty.requests == []


# Where events go


@pytest.mark.parametrize("suffix", ["", "/", PATH, f"{PATH}/"])
@pytest.mark.parametrize("place", ["environment", "metadata", "url"])
def test_the_address_comes_from(pagerduty, alerting_node, monkeypatch, place, suffix):
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
    alerting_node.write_credential("PAGERDUTY", ROUTING_KEY, **fields)
    alert()
    assert statuses(pagerduty) == [202]


@pytest.mark.parametrize(
    "url", ["", "https://acme.pagerduty.com/services/P1", "https://pagerduty.com"]
)
@pytest.mark.usefixtures("pauses")
def test_the_address_of_an_accounts_web_page_is_not_that_of_events(alerting_node, monkeypatch, url):
    alerting_node.write_credential("PAGERDUTY", ROUTING_KEY, url=url)
    # A proxy that is not there: nothing leaves this machine.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(AlertError, match=r": events\.pagerduty\.com cannot be reached: "):
        alert()


@pytest.mark.parametrize(
    "url", ["http://events.pagerduty.com", "events.pagerduty.com", "https://", "https://h:port/"]
)
def test_an_address_without_https_is_refused(alerting_node, url):
    alerting_node.write_credential("PAGERDUTY", ROUTING_KEY, url=url)
    with pytest.raises(AlertError, match="url of PAGERDUTY is not an https:// URL, such as"):
        alert()


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


@pytest.mark.usefixtures("alerting_node")
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
