"""Alerts in Airflow's tasks: its masker, its time-out, its name of the workflow."""

import json
import os
import threading

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import TimeoutPosix
from airflow.sdk.log import mask_secret

from rax.alerting import pending, trigger
from rax.alerting._deadline import Deadline
from tests.airflow.workflow_testing import spooling


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """Return the spool of a node whose PagerDuty is nowhere."""
    spooling(tmp_path, monkeypatch)
    monkeypatch.setenv("RAX_ENVIRONMENT", "lab")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "ebi_load")
    monkeypatch.delenv("RAX_ALERTING_CREDENTIAL", raising=False)
    return tmp_path / "alerts"


def test_what_airflow_masks_in_logs_is_masked_in_alerts(spool):
    """Such as a password that has been rotated since the task has read it."""
    mask_secret("old-canary")
    details = {"old-canary": ["old-canary"], "password": {"of": "a field, not a value"}}
    assert trigger("failed with old-canary", details=details, limit=0.5).state == "spooled"
    (file,) = spool.glob("*.json")
    assert "canary" not in file.read_text()
    payload = json.loads(file.read_text())["event"]["payload"]
    assert payload["summary"] == "failed with ***"
    assert payload["custom_details"] == {
        "***": ["***"],
        "password": {"of": "a field, not a value"},
    }


def test_in_a_task_the_key_is_the_workflows():
    trigger("a", limit=0.5)
    (entry,) = pending()
    assert entry.dedup_key == "lab/ebi_load"


def test_the_time_out_of_a_task_passes_through(monkeypatch):
    """And leaves the alert in the spool."""
    entered = threading.Event()

    def wait(_, _seconds):
        entered.set()
        os.kill(os.getpid(), 14)
        threading.Event().wait(2)

    monkeypatch.setattr(Deadline, "wait", wait)
    with pytest.raises(AirflowTaskTimeout), TimeoutPosix(seconds=60):
        trigger("a", limit=30)
    assert entered.is_set()
    assert [entry.summary for entry in pending()] == ["a"]
