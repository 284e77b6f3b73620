"""A node with a routing key, and the PagerDuty that its alerts go to."""

import json
import logging

import pytest

from rax.alerting._deadline import Deadline
from tests.fakes.pagerduty import PagerDuty
from tests.unit.rax.alerting_testing import DOWN, ROUTING_KEY, Node

ALERTING = (
    "RAX_ALERTING_CAPTURE",
    "RAX_ALERTING_CREDENTIAL",
    "RAX_ALERTING_SPOOL",
    "RAX_ALERTING_URL",
    "RAX_CREDENTIALS_MAX_AGE",
    "RAX_ENVIRONMENT",
    "AIRFLOW_CTX_DAG_ID",
    "HTTPS_PROXY",
    "https_proxy",
)


@pytest.fixture
def alerting_node(tmp_path, monkeypatch):
    for name in ALERTING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path / "credentials"))
    node = Node(tmp_path)
    node.write_credential("PAGERDUTY", ROUTING_KEY)
    return node


@pytest.fixture(scope="session")
def pagerduty_server():
    with PagerDuty({"routing_keys": [ROUTING_KEY]}) as fake:
        yield fake


@pytest.fixture
def pagerduty(pagerduty_server, alerting_node, monkeypatch):
    fake = pagerduty_server
    fake.forget()
    fake.events.clear()
    fake.open.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(fake.ca_path))
    monkeypatch.setenv("RAX_ALERTING_URL", fake.url)
    yield fake
    # Whatever a test has done.
    assert ROUTING_KEY not in json.dumps(fake.requests)
    for file in alerting_node.spool.rglob("*"):
        assert not file.is_file() or ROUTING_KEY.encode() not in file.read_bytes()


@pytest.fixture
def pauses(monkeypatch):
    """Return the pauses between two attempts, which nobody takes."""
    pauses = []
    monkeypatch.setattr(Deadline, "wait", lambda _, seconds: pauses.append(seconds))
    return pauses


@pytest.fixture
def down(pagerduty, pauses):
    """Return PagerDuty, which is down until its faults are taken away."""
    pagerduty.faults = [DOWN]
    pauses.clear()
    return pagerduty


@pytest.fixture
def log(caplog):
    """Return a function that returns what rax.alerting has logged since its last call."""
    caplog.set_level(logging.INFO, "rax.alerting")

    def log():
        lines = [
            f"{record.levelname} {record.getMessage()}"
            for record in caplog.records
            if record.name == "rax.alerting"
        ]
        assert ROUTING_KEY not in caplog.text
        caplog.clear()
        return lines

    return log
