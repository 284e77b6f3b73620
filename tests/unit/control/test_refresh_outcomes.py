"""What a run of the refresh is taken for, and what is said of it."""

import json
import os

import pytest

from tests.unit.control.report_testing import FAILURE, SUCCESS, fleet_report

KILLED = {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
TIMED_OUT = {"SERVICE_RESULT": "timeout", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}
OUT_OF_MEMORY = {"SERVICE_RESULT": "oom-kill", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
STOPPED = {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}
RESOURCES = {"SERVICE_RESULT": "resources"}
VAULT = "caspian.airflow.passwordsafe"


def with_host(state, error=None, **changes):
    """Return the report of a run that did this to worker2."""
    report = fleet_report(1, **changes)
    host = {"state": state, "error": error, "summary": None, "changes": {}}
    return report | {"hosts": report["hosts"] | {"worker2": host}}


def missing_source():
    summary = {"current": 2, "kept": 1, "missing": 0, "oldest_last_good_at": "2026-11-01T00:00:00Z"}
    report = fleet_report(1, problems={"EBI-ETL-DEV-01": "no such record"})
    for host in report["hosts"].values():
        host["summary"] = summary
    return report


def vault_down():
    hosts = {
        name: {"state": "not_reached", "error": None, "summary": None, "changes": {}}
        for name in ("worker1", "worker2")
    }
    return fleet_report(1, vault_error="GET vault.example /: no answer within 10 s", hosts=hosts)


def many_sources():
    return fleet_report(1, problems={f"SOURCE-{i:03}": "no such record" for i in range(200)})


FAILURES = [
    pytest.param(
        vault_down(),
        FAILURE,
        f"the vault ({VAULT}) gave nothing: GET vault.example /: no answer within 10 s",
        id="vault down",
    ),
    pytest.param(
        missing_source(),
        FAILURE,
        "1 source not fetched: EBI-ETL-DEV-01 (no such record)",
        id="one source missing",
    ),
    pytest.param(
        many_sources(),
        FAILURE,
        "200 sources not fetched: SOURCE-000 (no such record), SOURCE-001 (no such record), "
        "SOURCE-002 (no such record), SOURCE-003 (no such record), SOURCE-004 (no such record) "
        "and 195 more",
        id="many sources missing",
    ),
    pytest.param(
        with_host("unreachable", "no route to host"),
        FAILURE,
        "1 host unreachable: worker2 (no route to host)",
        id="one host unreachable",
    ),
    pytest.param(
        with_host("failed", "disk full", problems={"A": "twice: 1 and 2"}),
        FAILURE,
        "1 host failed: worker2 (disk full); 1 source not fetched: A (twice: 1 and 2)",
        id="a host and a source",
    ),
    pytest.param(
        with_host("delivered", "unit x.service did not reload"),
        FAILURE,
        "1 host delivered to, but: worker2 (unit x.service did not reload)",
        id="delivered with an error",
    ),
    pytest.param(
        with_host("delivered", "A is missing", problems={"A": "no such record"}),
        FAILURE,
        "1 source not fetched: A (no such record)",
        id="an error that says the same",
    ),
    pytest.param(
        with_host("not_reached"), SUCCESS, "1 host not reached: worker2", id="host not reached"
    ),
    pytest.param(
        fleet_report(1), FAILURE, "ansible-playbook ended with 2", id="the report knows nothing"
    ),
    pytest.param(None, FAILURE, "ansible-playbook ended with 2", id="failed without a report"),
    pytest.param(None, KILLED, "it was killed by KILL", id="killed"),
    pytest.param(None, TIMED_OUT, "it was ended since it took too long", id="timed out"),
    pytest.param(
        with_host("unreachable"),
        TIMED_OUT,
        "it was ended since it took too long; 1 host unreachable: worker2",
        id="timed out with a report",
    ),
    pytest.param(
        None, OUT_OF_MEMORY, "it was killed since memory ran out", id="killed for its memory"
    ),
    pytest.param(None, RESOURCES, "systemd could not start it", id="never started"),
    pytest.param(
        None,
        {"SERVICE_RESULT": "watch\ndog"},
        "systemd calls its result watch dog",
        id="another result of systemd",
    ),
    pytest.param(None, SUCCESS, "it left no report at {report}", id="report missing"),
    pytest.param(
        b'{"version": 1, "canary',
        SUCCESS,
        "its report cannot be used: {report} is not JSON: line 1: Unterminated string starting at",
        id="report half written",
    ),
    pytest.param(
        b"\xff\xfe canary",
        FAILURE,
        "ansible-playbook ended with 2; its report cannot be used: {report} is not UTF-8",
        id="report garbled",
    ),
    pytest.param(
        b"[" * 100_000,
        SUCCESS,
        "its report cannot be used: {report} is not JSON that can be read",
        id="report nested without end",
    ),
    pytest.param(
        b"",
        SUCCESS,
        "its report cannot be used: {report} is not JSON: line 1: Expecting value",
        id="report empty",
    ),
]


@pytest.mark.parametrize(("report", "systemd", "problem"), FAILURES)
def test_a_failed_run(control, capsys, report, systemd, problem):
    control.run(report, systemd)
    problem = problem.format(report=control.report)
    assert capsys.readouterr() == (f"the refresh failed (1 in a row): {problem}; alert sent\n", "")
    (event,) = control.sent
    assert event["summary"] == (
        f"Credentials refresh on control1 failed: {problem}. "
        'See "journalctl -u caspian-refresh" on control1.'
    )
    assert event["dedup_key"] == "caspian-refresh/control1"
    assert event["severity"] == "error"
    assert event["source"] == "control1"
    assert "canary" not in json.dumps(event)
    assert control.metrics["last_run_success"] == 0
    assert control.metrics["last_run_timestamp_seconds"] == control.now
    assert control.metrics["last_success_timestamp_seconds"] == 0
    assert control.metrics["consecutive_failures"] == 1
    assert control.metrics["alert_open"] == 1
    assert control.metrics["alert_unsent"] == 0


def test_a_good_run(control, capsys):
    control.run()
    assert capsys.readouterr() == ("the refresh was good\n", "")
    assert control.sent == []
    assert control.metrics == {
        "last_run_timestamp_seconds": control.now,
        "last_run_success": 1,
        "last_success_timestamp_seconds": control.now,
        "consecutive_failures": 0,
        "last_report_timestamp_seconds": control.now - 40,
        "last_report_duration_seconds": 20,
        "vault_up": 1,
        "unfetched_sources": 0,
        **{
            f"{name},state={state}}}" if state else f"{name}}}": value
            for host in ("worker1", "worker2")
            for name, state, value in (
                (f"host_delivered{{host={host}", "", 1),
                (f"host_last_delivered_timestamp_seconds{{host={host}", "", control.now - 40),
                (f"sources{{host={host}", "current", 3),
                (f"sources{{host={host}", "kept", 0),
                (f"sources{{host={host}", "missing", 0),
                (f"oldest_last_good_timestamp_seconds{{host={host}", "", control.now - 50),
            )
        },
        "alert_open": 0,
        "alert_unsent": 0,
    }


def test_the_modes_of_what_is_written(control):
    old = os.umask(0o077)
    try:
        control.run()
    finally:
        os.umask(old)
    assert control.metrics_file.stat().st_mode & 0o777 == 0o644
    assert control.state_file.stat().st_mode & 0o777 == 0o600
    left = {path.name for path in control.path.iterdir()}
    assert left == {"report.json", "state.json", "metrics.prom", ".state.json.lock"}


def test_details_name_what_the_summary_has_no_room_for(control):
    control.run()
    control.run(many_sources() | {"ended_at": "2026-11-02T08:00:20Z"}, FAILURE)
    details = control.sent[0]["details"]
    assert len(details["sources"]) == 101
    assert details["sources"]["SOURCE-099"] == "no such record"
    assert details["sources"]["…"] == "100 more"
    assert details["last_success"] == "2026-11-01T08:01:00Z"
    assert details["failing_since"] == "2026-11-02T08:01:00Z"
    assert details["systemd"] == FAILURE
    assert details["vault"] == VAULT


def test_a_summary_ends_with_where_to_look_however_long_its_reasons_are(control):
    hosts = {
        f"host{i}-{'x' * 200}": {"state": "failed", "error": "y" * 900, "summary": None}
        for i in range(9)
    }
    control.run(fleet_report(1, hosts=hosts, problems={"z" * 300: "w" * 900}), FAILURE)
    summary = control.sent[0]["summary"]
    assert len(summary) == 1024
    assert summary.endswith('…. See "journalctl -u caspian-refresh" on control1.')


# Odd reports: one line that says what is odd, nothing of what is in it


def odd(path, value):
    """Return a good report in which the value at that path is another."""
    report = fleet_report(1)
    *way, last = path.split(".")
    place = report
    for key in way:
        place = place[key]
    place[last] = value
    return report


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        pytest.param(["canary"], "report is not an object", id="a list"),
        pytest.param("canary", "report is not an object", id="a text"),
        pytest.param(odd("version", 2), "report.version is not 1", id="version"),
        pytest.param(odd("started_at", 1), "report.started_at is not a text", id="start a number"),
        pytest.param(odd("ended_at", None), "report.ended_at is not a text", id="no end"),
        pytest.param(odd("started_at", "canary"), "report.started_at is not a time", id="start"),
        pytest.param(odd("ended_at", "9999999-01-01"), "report.ended_at is not a time", id="end"),
        pytest.param(
            odd("problems", ["canary"]), "report.problems is not an object", id="problems"
        ),
        pytest.param(
            odd("vault_error", {"canary": 1}), "report.vault_error is not a text", id="error"
        ),
        pytest.param(odd("hosts", None), "report.hosts is not an object", id="hosts"),
        pytest.param(
            odd("hosts.worker1", "canary"), "report.hosts.worker1 is not an object", id="host"
        ),
        pytest.param(
            odd("hosts.worker1.state", "canary"),
            "report.hosts.worker1.state is none of delivered, failed, unreachable, not_reached",
            id="state",
        ),
        pytest.param(
            odd("hosts.worker1.summary.kept", "canary"),
            "report.hosts.worker1.summary.kept is not a number",
            id="count",
        ),
        pytest.param(
            odd("hosts.worker1.summary.kept", True),
            "report.hosts.worker1.summary.kept is not a number",
            id="truth as a count",
        ),
        pytest.param(
            odd("hosts.worker1.summary.oldest_last_good_at", "canary"),
            "report.hosts.worker1.summary.oldest_last_good_at is not a time",
            id="oldest",
        ),
    ],
)
def test_an_odd_report(control, capsys, report, problem):
    control.run(report)
    said = f"the refresh failed (1 in a row): its report cannot be used: {problem}; alert sent\n"
    assert capsys.readouterr() == (said, "")
    assert "canary" not in json.dumps(control.sent) + control.metrics_file.read_text()


def make_large(path):
    path.touch()
    os.truncate(path, 2**27)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(os.mkfifo, "is not a regular file", id="fifo"),
        pytest.param(os.mkdir, "Is a directory", id="directory"),
        pytest.param(lambda path: path.symlink_to(path), "Too many levels", id="loop"),
        pytest.param(make_large, "is larger", id="large"),
    ],
)
def test_a_report_that_is_no_file(control, capsys, make, problem):
    make(control.report)
    control.run(keep=True)
    output, errors = capsys.readouterr()
    assert f"its report cannot be used: {control.report}" in output
    assert problem in output
    assert errors == ""


def test_odd_names_stay_one_line_and_are_escaped(control, capsys):
    name = 'a"b\\c\nd\x1b[31m'
    report = odd("hosts", {name: fleet_report(1)["hosts"]["worker1"]})
    report["problems"] = {"x\ny": 'z\r\n# TYPE caspian gauge\nfake{a="'}
    control.run(report, FAILURE)
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert output.rstrip("\n").isprintable()
    assert control.metrics['host_delivered{host=a"b\\c d\\x1b[31m}'] == 1


def test_a_report_without_a_start_has_no_duration(control):
    control.run(odd("started_at", None))
    assert control.metrics["last_run_success"] == 1
    assert "last_report_duration_seconds" not in control.metrics


# Reports of another run


def test_the_report_of_the_run_before_is_not_taken_for_this_ones(control, capsys):
    control.run()
    capsys.readouterr()
    control.run(keep=True)
    problem = f"{control.report} is the report of an earlier run"
    assert capsys.readouterr().out.startswith(f"the refresh failed (1 in a row): {problem};")


def test_a_killed_run_does_not_repeat_the_reasons_of_the_one_before(control, capsys):
    control.run(with_host("unreachable"), FAILURE)
    capsys.readouterr()
    control.run(keep=True, systemd=KILLED)
    assert capsys.readouterr().out == "the refresh failed (2 in a row): it was killed by KILL\n"


# Runs that are stopped


def test_a_run_that_is_stopped_is_neither_good_nor_failed(control, capsys):
    control.run()
    before = control.metrics
    capsys.readouterr()
    control.run(None, STOPPED)
    assert capsys.readouterr().out == "the refresh was stopped before its end\n"
    assert control.sent == []
    changed = {"last_run_success": 0, "last_run_timestamp_seconds": control.now}
    assert control.metrics == before | changed


def test_a_run_that_is_stopped_does_not_resolve(control):
    control.run(None, FAILURE)
    control.run(None, STOPPED)
    assert control.actions == ["trigger"]


def test_runs_that_are_stopped_again_and_again_are_failures(control):
    control.run()
    control.run(None, STOPPED)
    control.run(None, STOPPED)
    assert control.actions == ["trigger"]
    assert "it was stopped before its end, again" in control.sent[0]["summary"]


def test_a_run_that_is_stopped_after_its_report_is_judged_by_it(control):
    control.run("good", STOPPED)
    assert "it was killed by TERM" in control.sent[0]["summary"]


# What survives


def test_values_survive_a_run_that_learned_nothing(control):
    control.run()
    before = control.metrics
    control.run(None, KILLED)
    changed = {
        "last_run_success": 0,
        "last_run_timestamp_seconds": control.now,
        "consecutive_failures": 1,
        "alert_open": 1,
    }
    assert control.metrics == before | changed


def test_an_unreachable_host_keeps_its_counts_and_time(control):
    control.run()
    first = control.metrics
    report = fleet_report(2)
    report["hosts"]["worker2"] = {"state": "unreachable", "error": None, "summary": None}
    control.run(report, FAILURE)
    now = control.metrics
    assert now["host_delivered{host=worker2}"] == 0
    for name in (
        "sources{host=worker2,state=current}",
        "oldest_last_good_timestamp_seconds{host=worker2}",
        "host_last_delivered_timestamp_seconds{host=worker2}",
    ):
        assert now[name] == first[name]
    later = "host_last_delivered_timestamp_seconds{host=worker1}"
    assert now[later] == first[later] + 86400


def test_without_a_vault_the_hosts_stay(control):
    control.run()
    control.run(vault_down() | {"hosts": {}, "ended_at": "2026-11-02T08:00:20Z"}, FAILURE)
    assert control.metrics["vault_up"] == 0
    assert "unfetched_sources" not in control.metrics
    assert control.metrics["sources{host=worker1,state=current}"] == 3


def test_a_host_that_left_the_fleet_leaves_the_metrics(control):
    control.run()
    report = fleet_report(2)
    del report["hosts"]["worker1"]
    control.run(report)
    assert not [name for name in control.metrics if "worker1" in name]
    assert control.metrics["host_delivered{host=worker2}"] == 1


def test_a_host_without_sources_has_no_oldest_one(control):
    control.run(odd("hosts.worker1.summary.oldest_last_good_at", None))
    assert "oldest_last_good_timestamp_seconds{host=worker1}" not in control.metrics
