"""The control node looks at the cluster, alerts of what stays wrong, and ends the alert."""

import json

import pytest

EVENTS = "/srv/fakes/pagerduty/events.jsonl"
KEY = "lab/platform/scheduler1/triggerer/inactive"


def looked(control):
    """Look once, as the timer does; return what it said."""
    control.check_output("systemctl start caspian-watch")
    return control.check_output(
        "journalctl --output=cat --no-pager --lines=1 --identifier=python --unit=caspian-watch"
    )


def told(control):
    """Return what PagerDuty was told of the incident."""
    events = map(json.loads, control.run(f"cat {EVENTS}").stdout.splitlines())
    return [event["event_action"] for event in events if event["dedup_key"] == KEY]


@pytest.mark.timeout(300)
def test_component_that_is_stopped_is_an_incident_until_it_is_back(cluster, control):
    """With the account, the key and the sandbox of the timer, past real nodes and over real TLS."""
    assert control.check_output("systemctl is-active caspian-watch.timer") == "active"
    before = len(told(control))
    scheduler1 = cluster.node("scheduler1")
    scheduler1.check_output("systemctl stop airflow-triggerer")
    try:
        assert "scheduler1 triggerer inactive" in looked(control)
        assert f"opened {KEY.removeprefix('lab/platform/')}" in looked(control)
    finally:
        scheduler1.check_output("systemctl start airflow-triggerer")
    looked(control)
    assert "scheduler1 triggerer" not in looked(control)
    assert told(control)[before:] == ["trigger", "resolve"]
    # The unit has looked, whatever it saw, and has left nothing to the account but its memory.
    assert (
        control.check_output("systemctl show --property=Result --value caspian-watch") == "success"
    )
    assert control.check_output("ls /run/caspian-watch 2>/dev/null || echo none") == "none"
