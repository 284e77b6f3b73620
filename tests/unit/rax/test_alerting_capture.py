"""RAX_ALERTING_CAPTURE: what would be sent is in a folder, and nothing leaves the machine."""

import json
import os
import stat
import threading

import pytest

from rax.alerting import deliver, flush, resolve, trigger
from rax.alerting._capture import Capture, captured
from rax.alerting._pagerduty import not_set_up
from rax.errors import AlertError
from tests.unit.rax.alerting_testing import alert


@pytest.fixture
def folder(pagerduty, alerting_node, tmp_path, monkeypatch):
    """The folder, on a node without a routing key, beside a PagerDuty that could be reached."""
    (alerting_node.credentials / "PAGERDUTY.json").unlink()
    folder = tmp_path / "captured"
    monkeypatch.setenv("RAX_ALERTING_CAPTURE", str(folder))
    yield folder
    assert pagerduty.requests == []


def test_events_are_kept_as_they_would_have_been_sent(folder, alerting_node, log):
    alerting_node.write_credential("EBI-01", "s3cr3t-canary")
    outcome = trigger("no file for s3cr3t-canary", dedup_key="k", details={"days": 3})
    assert outcome == ("sent", "")
    assert resolve("k") == ("sent", "")
    opened, closed = captured(folder)
    assert (opened["event_action"], opened["payload"]["summary"]) == ("trigger", "no file for ***")
    assert opened["payload"]["custom_details"] == {"days": 3}
    assert closed == {"event_action": "resolve", "dedup_key": "k"}
    assert log() == [
        "INFO alert captured: trigger of 'k': no file for ***",
        "INFO alert captured: resolve of 'k'",
    ]
    assert alerting_node.files == []


def test_deliver_is_captured_too(folder):
    deliver("trigger", "k", summary="down")
    assert [event["payload"]["summary"] for event in captured(folder)] == ["down"]


def test_what_was_spooled_goes_there(folder, alerting_node):
    assert alert("later", limit=0).state == "spooled"
    assert flush() == (1, 0, 0, "")
    assert [event["payload"]["summary"] for event in captured(folder)] == ["later"]
    assert alerting_node.files == []


def test_only_this_account_can_read_them(folder):
    before = os.umask(0)
    try:
        resolve("k")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "1.json").stat().st_mode) == 0o600


def test_many_at_once_are_all_kept_and_whole(folder):
    def send(number):
        with Capture(folder) as capture:
            for step in range(10):
                capture.send({"event_action": "resolve", "dedup_key": f"{number}/{step}"})

    threads = [threading.Thread(target=send, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({event["dedup_key"] for event in captured(folder)}) == 40
    assert sorted(int(file.stem) for file in folder.iterdir()) == [*range(1, 41)]


def test_their_order_is_that_of_numbers(folder):
    for number in range(11):
        resolve(f"k{number}")
    assert [event["dedup_key"] for event in captured(folder)] == [f"k{n}" for n in range(11)]


def test_a_folder_that_cannot_be_used(alerting_node, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAX_ALERTING_CAPTURE", str(tmp_path / "file"))
    problem = f"RAX_ALERTING_CAPTURE: {tmp_path}/file: File exists"
    assert alert("a") == ("spooled", problem)
    with pytest.raises(AlertError, match=f": {problem}$"):
        deliver("resolve", "k")
    monkeypatch.setenv("RAX_ALERTING_CAPTURE", "relative")
    assert alert("b").problem == "RAX_ALERTING_CAPTURE is not an absolute path: relative"
    assert len(alerting_node.files) >= 2


def test_a_full_disk_keeps_the_alert_in_the_spool(folder, monkeypatch):
    resolve("k")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rax.alerting._capture.json.dump", full)
        assert alert("a").problem == f"RAX_ALERTING_CAPTURE: {folder}: No space left on device"
    assert [file.name for file in folder.iterdir()] == ["1.json"]
    assert json.loads((folder / "1.json").read_text())["event_action"] == "resolve"


def test_a_node_that_has_it_says_so(folder):
    assert not_set_up() == (
        f"RAX_ALERTING_CAPTURE is set: alerts go to {folder}, and not to PagerDuty"
    )
