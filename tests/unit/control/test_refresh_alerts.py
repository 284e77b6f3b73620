"""Alerts over several runs: once, resolved once, and never lost."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from tests.fakes.pagerduty import PagerDuty
from tests.unit.control.report_testing import FAILURE, ROUTING_KEY, SUCCESS, fleet_report

KILLED = {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}


# G: a good run, F: a failed one; PagerDuty takes what it gets, or is down (g, f).
@pytest.mark.parametrize(
    ("runs", "options", "actions", "state", "unsent"),
    [
        pytest.param("GGG", [], "", "none", False, id="all good"),
        pytest.param("FFFF", [], "t", "open", False, id="an alert is sent once"),
        pytest.param("FFGGG", [], "tr", "none", False, id="resolved once"),
        pytest.param("FGFG", [], "trtr", "none", False, id="again"),
        pytest.param("FF", ["--after", "3"], "", "none", False, id="two of three"),
        pytest.param("FFFFF", ["--after", "3"], "t", "open", False, id="three of three"),
        pytest.param("FFGFFG", ["--after", "3"], "", "none", False, id="not in a row"),
        pytest.param("FFFGF", ["--after", "3"], "tr", "none", False, id="resolved by one"),
        pytest.param("f", [], "", "unsure", True, id="down when it fails"),
        pytest.param("fffFF", [], "t", "open", False, id="sent by a later run"),
        pytest.param("fG", [], "r", "none", False, id="an alert that may have come is resolved"),
        pytest.param("fg", [], "", "unsure", True, id="down all the time"),
        pytest.param("FggGG", [], "tr", "none", False, id="resolved by a later run"),
        # The end of the first may have come, so the second has to be said.
        pytest.param("FgFF", [], "tt", "open", False, id="fails again before the end is sent"),
    ],
)
def test_a_sequence_of_runs(control, runs, options, actions, state, unsent):
    control.options += options
    for run in runs:
        control.problem = "PagerDuty is down" if run.islower() else ""
        control.run(*(["good"] if run in "gG" else [None, FAILURE]))
    assert "".join(action[0] for action in control.actions) == actions
    assert {event["dedup_key"] for event in control.sent} <= {"caspian-refresh/control1"}
    assert control.state["alert"] == state
    assert control.metrics["alert_open"] == (state != "none")
    assert control.metrics["alert_unsent"] == unsent


def test_another_kind_of_failure_does_not_alert_again(control):
    control.run(None, KILLED)
    control.run(fleet_report(2, problems={"A": "no such record"}), FAILURE)
    control.run(fleet_report(3, vault_error="down"), FAILURE)
    assert control.actions == ["trigger"]


def test_the_summary_says_how_many_runs_have_failed(control):
    control.options += ["--after", "3"]
    for _ in range(3):
        control.run(None, KILLED)
    assert "failed, 3 runs in a row: it was killed by KILL" in control.sent[0]["summary"]


def test_a_failure_to_send_is_said(control, capsys):
    control.problem = "PagerDuty is down"
    control.run(None, KILLED)
    output, errors = capsys.readouterr()
    assert output == "the refresh failed (1 in a row): it was killed by KILL\n"
    assert errors == "caspian_control: PagerDuty is down; the next run tries again\n"


def test_while_it_is_sent_the_state_says_that_nobody_knows(control):
    """So that a run that is killed there is neither forgotten nor taken for told."""
    for report, systemd in ((None, KILLED), (fleet_report(2), SUCCESS)):
        control.run(report, systemd)
        assert control.during["alert"] == "unsure"
        assert control.during["unsent"] is True


def test_without_alerts_there_are_metrics_alone(control):
    control.options = []
    control.run(None, KILLED)
    assert control.sent == []
    assert control.metrics["alert_open"] == 0
    assert control.metrics["consecutive_failures"] == 1


def test_the_incident_of_another_source_name_is_resolved(control):
    control.run(None, KILLED)
    control.options += ["--source", "control2"]
    control.run()
    assert control.sent[-1] == {"action": "resolve", "dedup_key": "caspian-refresh/control1"}


# States that are not as they were written: an alert may be open, or not.


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff", id="garbled"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"version": 2}', id="of another version"),
        pytest.param(b'{"version": 1}', id="without its fields"),
    ],
)
@pytest.mark.parametrize(("run", "action"), [("G", "resolve"), ("F", "trigger")])
def test_a_garbled_state_is_said_and_replaced(control, capsys, content, run, action):
    control.state_file.write_bytes(content)
    control.run(*(["good"] if run == "G" else [None, KILLED]))
    assert "begins with an empty state: " in capsys.readouterr().err
    assert control.actions == [action]
    assert control.state["version"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failures", "3"),
        ("failures", True),
        ("alert", "maybe"),
        ("hosts", {"a": {}}),
        ("hosts", {"a": []}),
        ("hosts", {"a": {"delivered": 1, "delivered_at": 1, "oldest": "x", "counts": {}}}),
        ("hosts", {"a": {"delivered": 1, "delivered_at": 1, "oldest": 1, "counts": {"b": "c"}}}),
    ],
)
def test_no_field_of_the_state_is_believed(control, capsys, name, value):
    control.run()
    control.state_file.write_text(json.dumps(control.state | {name: value}))
    control.run()
    assert "begins with an empty state: " in capsys.readouterr().err
    assert control.metrics["last_run_success"] == 1


# What goes wrong here is not the refresh's failure.


@pytest.mark.parametrize("place", ["metrics", "state"])
def test_where_one_file_cannot_be_written_the_other_is_and_the_alert_is_sent(
    control, capsys, place
):
    file = {"metrics": control.metrics_file, "state": control.state_file}[place]
    file.mkdir()
    control.run(None, KILLED)
    assert f"cannot write {file}: Is a directory" in capsys.readouterr().err
    assert control.actions == ["trigger"]
    other = control.state_file if place == "metrics" else control.metrics_file
    assert other.is_file()


def test_without_the_folder_of_the_state_the_alert_is_sent(control, capsys):
    control.state_file = control.path / "missing/state.json"
    control.run(None, KILLED)
    assert control.actions == ["trigger"]
    assert "goes on without a lock: " in capsys.readouterr().err
    assert control.metrics["consecutive_failures"] == 1


def test_what_a_killed_run_left_does_not_stop_the_next(control):
    (control.path / ".state.json.tmp").symlink_to("/nonexistent/victim")
    (control.path / ".metrics.prom.tmp").write_text("half")
    control.run()
    assert control.metrics["last_run_success"] == 1
    assert not list(control.path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--after", "x"], "argument --after: invalid int value: 'x'"),
        (["--after", "0"], "--after is less than 1"),
        (["--limit", "0"], "--limit is not between 0 and 600 seconds"),
    ],
)
def test_wrong_arguments_are_said(control, capsys, options, message):
    control.options += options
    control.run()
    said = f"caspian_control: arguments: {message}\n"
    assert capsys.readouterr() == ("", said)


def test_an_error_of_ours_is_one_line_without_its_message(control, capsys, monkeypatch, program):
    def broken(*_):
        raise ValueError("canary")

    monkeypatch.setattr(program.refresh, "judge", broken)
    control.run()
    errors = capsys.readouterr().err
    assert errors.startswith("caspian_control: unexpected ValueError in line ")
    assert "canary" not in errors
    assert errors.count("\n") == 1


def test_two_at_a_time_are_one_after_the_other(control):
    """While the lock is held nothing is read; then the state of the other is."""
    control.run(None, KILLED)
    control.options = []
    with (control.path / ".state.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        control.report.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, control.launcher, *control.arguments],
            env={"PATH": os.environ["PATH"]} | KILLED,
            stdout=subprocess.PIPE,
            text=True,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        changed = control.state | {"failures": 41}
        control.state_file.write_text(json.dumps(changed))
    assert process.communicate(timeout=30)[0].startswith("the refresh failed (42 in a row)")


def test_a_lock_that_is_never_given_up_ends_the_run(control, capsys):
    control.run()
    capsys.readouterr()
    with (control.path / ".state.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        control.monkeypatch.setattr(control.module, "LOCK_MARGIN_SECONDS", -20)
        control.run()
    assert "gives up" in capsys.readouterr().err


# The real thing: a process, rax, TLS


def test_pagerduty_opens_and_closes_an_incident(control, server, environment):
    control.options = ["--alert", "TEAM"]
    control.write(fleet_report(1, problems={"A": "no such record"}))
    run = control.run_program(environment | FAILURE)
    problem = "1 source not fetched: A (no such record)"
    assert run.returncode == 0
    assert run.stderr == ""
    assert run.stdout == f"the refresh failed (1 in a row): {problem}; alert sent\n"
    assert server.open == {"caspian-refresh/control1": 1}
    assert server.events[0]["payload"]["custom_details"]["sources"] == {"A": "no such record"}
    control.write(fleet_report(2))
    run = control.run_program(environment | SUCCESS)
    assert (run.stdout, run.stderr) == ("the refresh was good; alert resolved\n", "")
    assert server.open == {}
    assert ROUTING_KEY not in control.state_file.read_text() + control.metrics_file.read_text()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "status", "status": 429}, id="429 for ever"),
        pytest.param({"kind": "status", "status": 500}, id="500"),
        pytest.param({"kind": "hang"}, id="hang"),
        pytest.param({"kind": "reset"}, id="reset"),
        pytest.param({"kind": "refused"}, id="refused, quoting the key"),
    ],
)
def test_a_pagerduty_that_fails_changes_nothing_else(control, server, environment, fault):
    control.options = ["--alert", "TEAM", "--limit", "1"]
    server.faults = [fault]
    run = control.run_program(environment | KILLED)
    assert run.returncode == 0
    assert run.stdout == "the refresh failed (1 in a row): it was killed by KILL\n"
    assert run.stderr.startswith("caspian_control: PagerDuty did not take the trigger of ")
    assert run.stderr.endswith("; the next run tries again\n")
    assert run.stderr.count("\n") == 1
    assert ROUTING_KEY not in run.stderr
    assert control.state["alert"] == "unsure"
    assert control.metrics["alert_unsent"] == 1
    server.faults = []
    control.options[-1] = "20"
    control.run_program(environment | KILLED)
    assert server.open == {"caspian-refresh/control1": 1}
    assert control.metrics["alert_unsent"] == 0


def test_another_hosts_certificate(control, environment):
    control.options = ["--alert", "TEAM", "--limit", "10"]
    with PagerDuty(names=("other.example",)) as fake:
        trust = {"SSL_CERT_FILE": str(fake.ca_path), "RAX_ALERTING_URL": fake.url}
        run = control.run_program(environment | trust | KILLED)
        assert fake.requests == []
    assert run.returncode == 0
    assert "certificate is not valid for 'localhost'" in run.stderr


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        (["--alert", "NONE"], {}, "the routing key cannot be read: no credential 'NONE' in "),
        (["--alert", "TEAM"], {"PYTHONPATH": ""}, "the package 'rax' is not installed here"),
    ],
    ids=["no routing key", "no rax"],
)
def test_what_an_alert_lacks_is_said(control, environment, options, changes, message):
    control.options = options
    run = control.run_program(environment | KILLED | changes)
    assert run.returncode == 0
    assert message in run.stderr
    assert control.metrics["consecutive_failures"] == 1


def test_wrong_arguments_end_with_0(control):
    control.options = ["--after", "never"]
    run = control.run_program(KILLED)
    assert run.returncode == 0
    assert "argument --after: invalid int value" in run.stderr


def test_the_launcher_runs_isolated_as_in_the_unit_and_says_its_version(launcher):
    done = subprocess.run(
        [sys.executable, "-I", launcher, "--version"],
        capture_output=True, text=True, cwd="/", check=True,
    )  # fmt: skip
    assert done.stdout.startswith("caspian_control ")
