"""Incidents of the cluster over several looks: opened once, resolved once, never lost."""

import json

import pytest

from tests.unit.control.report_testing import FAILURE, ROUTING_KEY, fleet_report
from tests.unit.control.watch_testing import FOUND, SUCCESS, problem

W1, W2 = problem("worker1"), problem("worker2")
FULL = problem("worker1", "disk", "disk", "/var/log has 2 % left")
AWAY = [problem(host, "dag-sync", "sync-server") for host in ("scheduler1", "worker1", "worker2")]
CRASHED = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "4"}
TIMED_OUT = {"SERVICE_RESULT": "timeout", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}
STOPPED = {"SERVICE_RESULT": "success", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}
OPENED, RESOLVED = "t worker1/worker/inactive", "r worker1/worker/inactive"


# 1: worker1 is down, -: all is well; x and .: the same, while PagerDuty is down.
@pytest.mark.parametrize(
    ("looks", "told"),
    [
        pytest.param("---", {}, id="all is well"),
        pytest.param("1---", {}, id="a restart is nobody's incident"),
        pytest.param("1111", {1: [OPENED]}, id="opened once, at the second look"),
        pytest.param("11---", {1: [OPENED], 3: [RESOLVED]}, id="resolved once, by two looks"),
        pytest.param("1-1-1-", {2: [OPENED]}, id="a crash loop is one incident"),
        pytest.param("11-1-1--", {1: [OPENED], 7: [RESOLVED]}, id="and stays one"),
        pytest.param("11--11", {1: [OPENED], 3: [RESOLVED], 5: [OPENED]}, id="another time"),
        pytest.param("1xx11", {3: [OPENED]}, id="PagerDuty down when it opens"),
        pytest.param("1x----", {3: [RESOLVED]}, id="over meanwhile: it may have come"),
        pytest.param("11-..-", {1: [OPENED], 5: [RESOLVED]}, id="down when it ends"),
        pytest.param(
            "11-.11",
            {1: [OPENED], 4: [RESOLVED], 5: [OPENED]},
            id="there again before the end is sent",
        ),
    ],
)
def test_a_sequence_of_looks(watch, looks, told):
    found = {}
    for number, kind in enumerate(looks):
        watch.problem = "PagerDuty is down" if kind in "x." else ""
        found[number] = watch.look(*([W1] if kind in "1x" else []))
    assert {number: events for number, events in found.items() if events} == told


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [
        ("disk", 0), ("worker-paused", 0), ("credentials-stale", 0), ("maintenance", 0),
        ("unreachable", 5), ("inactive", 5), ("silent", 5), ("restarting", 5), ("import-error", 5),
        ("commit-blocked", 10), ("sync-server", 15), ("sync-lagging", 30), ("alerts-kept", 30),
        ("refresh", 30), ("versions", 120), ("sync-pinned", 5), ("of-another-release", 5),
        ("unanswered", 5), ("credentials-kept", 30),
    ],
)  # fmt: skip
def test_each_kind_is_given_its_time(watch, kind, minutes):
    found = problem("worker1", "x", kind)
    for after in range(0, minutes + 1, 5):
        assert (watch.look(found) != []) == (after == minutes), f"after {after} min"
    assert watch.look(found) == []


def test_what_has_one_cause_is_one_incident(watch):
    """Whatever the order in which the hosts notice it, and until the last of them is well."""
    looks = [AWAY[:1], AWAY[:1], AWAY, AWAY, AWAY]
    told = [watch.look(*found) for found in looks]
    assert told == [[], [], [], ["t all/sync-server"], []]
    # Those that noticed it later join the incident when their time has come.
    for _ in range(2):
        assert watch.look(*AWAY) == []
    assert {one["incident"] for one in watch.state["sightings"]} == {"all/sync-server"}
    assert watch.look(AWAY[1]) == watch.look(AWAY[1]) == watch.look() == []
    assert watch.look() == ["r all/sync-server"]
    assert watch.state["incidents"] == {}


def test_several_hosts_at_a_time_are_one_incident_and_later_ones_their_own(watch):
    both = [W1, W2]
    assert watch.look(*both) == []
    assert watch.look(*both) == [OPENED]
    summary = watch.sent[0]["summary"]
    assert summary.startswith("Airflow production: worker of 2 hosts (worker1, worker2): worker is")
    alone = problem("scheduler1", "scheduler")
    assert watch.look(*both, alone) == []
    assert watch.look(*both, alone) == ["t scheduler1/scheduler/inactive"]
    assert watch.look(W2, alone) == watch.look(W2, alone) == []
    # One that is back in trouble while the incident is open belongs to it.
    assert watch.look(*both, alone) == watch.look(*both, alone) == []
    assert watch.look(alone) == []
    assert watch.look(alone) == [RESOLVED]


def test_files_that_break_together_are_one_incident_and_later_ones_another(watch):
    errors = [problem("cluster", f"dags/{n}.py", "import-error", f"no {n}") for n in "abc"]
    watch.look(*errors[:2])
    assert watch.look(*errors[:2]) == ["t cluster/dags/a.py/import-error"]
    (event,) = watch.sent
    assert event["summary"].startswith(
        "Airflow production: dags/a.py, dags/b.py of cluster: no a (and 1 more)."
    )
    assert event["severity"] == "warning"
    details = event["details"]["problems"]
    assert details == {"cluster: dags/a.py": "no a", "cluster: dags/b.py": "no b"}
    assert watch.look(*errors) == []
    assert watch.look(*errors) == ["t cluster/dags/c.py/import-error"]
    # One that is mended changes nothing, the last ends it.
    told = [watch.look(*errors[1:]), watch.look(errors[2]), watch.look(errors[2]), watch.look()]
    assert told == [[], [], ["r cluster/dags/a.py/import-error"], []]
    assert watch.look() == ["r cluster/dags/c.py/import-error"]


def test_several_problems_of_one_place_are_told_together(watch):
    watch.look(FULL, FULL | {"problem": "/home has 1 % left"})
    assert "/var/log has 2 % left (and 1 more)." in watch.sent[0]["summary"]


# Consequences


def test_a_host_that_is_away_is_one_incident(watch):
    gone = problem("worker1", "node", "unreachable", "no route to host")
    told = [watch.look(gone, problem("worker1", "worker", "silent")) for _ in range(3)]
    assert told == [[], ["t worker1/node/unreachable"], []]


def test_what_a_host_had_is_not_over_because_it_is_away(watch):
    assert watch.look(FULL) == ["t worker1/disk/disk"]
    gone = problem("worker1", "node", "unreachable")
    assert watch.look(gone) == []
    assert watch.look(gone) == ["t worker1/node/unreachable"]
    # It is back and as full as before; then that is put right.
    assert watch.look(FULL) == []
    assert watch.look(FULL) == ["r worker1/node/unreachable"]
    assert watch.look() == []
    assert watch.look() == ["r worker1/disk/disk"]


def test_workers_are_silent_without_their_broker_which_is_the_incident(watch):
    down = problem("scheduler1", "broker", "silent")
    silent = [problem(host, "worker", "silent") for host in ("worker1", "worker2")]
    told = [watch.look(down, *silent) for _ in range(4)]
    assert told == [[], ["t scheduler1/broker/silent"], [], []]
    # When it answers again and they do not, that is theirs.
    assert watch.look(*silent) == []
    assert watch.look(*silent) == ["r scheduler1/broker/silent", "t worker1/worker/silent"]


@pytest.mark.parametrize("kind", ["unreachable", "unanswered", "unasked", "missing"])
def test_a_host_that_says_nothing_has_not_mended_anything(watch, kind):
    watch.look(FULL)
    for _ in range(3):
        watch.look(problem("worker1", "node", kind))
    assert [event["action"] for event in watch.sent] == ["trigger", "trigger"]


def test_without_a_scheduler_nobody_knows_whether_a_file_can_be_imported(watch):
    broken = problem("cluster", "dags/a.py", "import-error")
    watch.look(broken)
    watch.look(broken)
    watch.sees_cluster = False
    silent = problem("scheduler1", "node", "unreachable")
    assert watch.look(silent) == []
    assert watch.look(silent) == ["t scheduler1/node/unreachable"]
    assert watch.look(silent) == []
    watch.sees_cluster = True
    assert watch.look() == []
    assert watch.look() == ["r cluster/dags/a.py/import-error", "r scheduler1/node/unreachable"]


def test_a_host_that_is_no_longer_there_has_no_problem(watch):
    watch.look(W1)
    watch.look(W1)
    watch.hosts = ("control1", "scheduler1", "worker2")
    assert watch.look() == []
    assert watch.look() == [RESOLVED]


def test_a_failed_refresh_is_the_refresh_s_own_incident(watch, control):
    control.state_file = watch.refresh_file
    control.run(fleet_report(1, problems={"A": "no such record"}), FAILURE)
    assert control.actions == ["trigger"]
    late = problem("control1", "refresh", "refresh")
    assert [watch.look(late, minutes=30) for _ in range(3)] == [[], [], []]
    # One that has stopped running tells nobody.
    control.run()
    assert watch.look(late) == ["t control1/refresh/refresh"]


# The watch itself


@pytest.mark.parametrize(
    ("report", "systemd", "reason"),
    [
        (None, FOUND, "ansible-playbook ended with 2; it left no report at "),
        (None, CRASHED, "ansible-playbook ended with 4; it left no report at "),
        (b'{"hosts"', FOUND, "its report cannot be used: "),
        (b"\xff\xfe", FOUND, "is not JSON: line 1"),
        (b"[" * 100_000, FOUND, "is not JSON that can be read"),
        ({"hosts": {}}, FOUND, "hosts names no host"),
        ({"hosts": {"a": "answered"}}, FOUND, "report.hosts.a is not an object"),
        ({"hosts": {"a": {}}}, FOUND, "report.hosts.a.state is not a text"),
        ({"problems": {}}, FOUND, "problems is not a list"),
        ({"problems": [1]}, FOUND, "problems[0] is not an object"),
        ({"cluster": None}, FOUND, "cluster is not an object"),
        ({"checked_at": "now"}, FOUND, "checked_at is not a time"),
        ({}, FOUND, "ansible-playbook ended with 2"),
        ({}, TIMED_OUT, "it was ended since it took too long"),
    ],
)  # fmt: skip
def test_a_watch_that_fails_alerts_too(watch, report, systemd, reason):
    told = []
    for day in ("2026-01-01", "2026-01-02"):
        changes = (
            watch.report() | {"checked_at": day} | report if isinstance(report, dict) else report
        )
        told.append(watch.look(report=changes, systemd=systemd))
    assert told == [[], ["t control1/watch/watch-failed"]]
    summary = watch.sent[0]["summary"]
    assert "watch of control1: nobody looks after the cluster: " in summary
    assert reason in summary
    assert watch.look() == []
    assert watch.look() == ["r control1/watch/watch-failed"]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Bad Kind"}, {"kind": "a" * 41}, {"kind": ""}, {"kind": 1}, {"kind": "../x"},
        {"host": ""}, {"host": None}, {"host": ["a"]}, {"component": " \n"}, {"problem": ""},
        {"problem": {}},
    ],
)  # fmt: skip
def test_a_problem_of_another_form_makes_the_report_unusable(watch, change, capsys):
    watch.look(W1 | change)
    assert "its report cannot be used: report.problems[0]" in capsys.readouterr().out
    assert [one["kind"] for one in watch.state["sightings"]] == ["watch-failed"]


def test_while_it_sees_nothing_nothing_is_over(watch):
    watch.look(W1)
    watch.look(W1)
    for _ in range(3):
        watch.look(report=None, systemd=FOUND)
    assert [event["action"] for event in watch.sent] == ["trigger", "trigger"]
    assert watch.look(W1) == []
    assert watch.look(W1) == ["r control1/watch/watch-failed"]


def test_a_report_that_comes_again_is_none(watch):
    report = watch.report()
    watch.look(report=report, systemd=SUCCESS)
    watch.look(report=report, systemd=SUCCESS)
    assert watch.look(report=report, systemd=SUCCESS) == ["t control1/watch/watch-failed"]
    assert "is the report of an earlier run" in watch.sent[0]["summary"]


def test_a_look_that_is_stopped_says_nothing_but_not_again_and_again(watch):
    watch.look()
    told = [watch.look(report=None, systemd=STOPPED) for _ in range(3)]
    assert told == [[], [], ["t control1/watch/watch-failed"]]


# PagerDuty


def test_while_it_is_sent_the_state_says_that_nobody_knows(watch):
    watch.look(FULL)
    assert watch.during["incidents"] == {"worker1/disk/disk": "unsure"}
    assert watch.state["incidents"] == {"worker1/disk/disk": "open"}
    watch.look()
    watch.look()
    assert watch.during["incidents"] == {"worker1/disk/disk": "unsure"}


def test_an_event_that_is_refused_keeps_no_other_back(watch, capsys):
    other = problem("worker2", "home", "disk")
    watch.refused = {"production/platform/worker1/disk/disk": "PagerDuty refuses it"}
    assert watch.look(FULL, other) == ["t worker2/home/disk"]
    assert capsys.readouterr().err == (
        "caspian_control: trigger of worker1/disk/disk: PagerDuty refuses it;"
        " the next run tries again\n"
    )
    watch.refused = {}
    assert watch.look(FULL, other) == ["t worker1/disk/disk"]


def test_without_alerts_it_is_said_in_the_journal_alone(watch, capsys):
    watch.options = []
    assert watch.look(FULL) == watch.look() == watch.look() == []
    assert watch.state["incidents"] == {}
    assert "; problems: worker1 disk disk\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state | {"version": 2},
        lambda state: state | {"incidents": {"a": "perhaps"}},
        lambda state: state | {"incidents": {}},
        lambda state: state | {"last_run_success": 1},
        lambda state: state | {"sightings": [1]},
        lambda state: state | {"sightings": [state["sightings"][0] | {"since": "now"}]},
        lambda state: state | {"sightings": [state["sightings"][0] | {"problems": [1]}]},
        lambda _state: [],
    ],
)  # fmt: skip
def test_a_state_of_another_form_is_not_used_and_what_is_there_is_told_again(watch, damage, capsys):
    watch.look(FULL)
    watch.state_file.write_text(json.dumps(damage(watch.state)))
    assert watch.look(FULL) == ["t worker1/disk/disk"]
    assert "caspian_control: begins with an empty state: " in capsys.readouterr().err


def test_a_clock_that_was_put_back_keeps_nobody_waiting(watch):
    lagging = problem("worker1", "dag-sync", "sync-lagging")
    watch.look(lagging)
    watch.look(lagging, minutes=-24 * 60)
    assert watch.look(lagging, minutes=30) == ["t worker1/dag-sync/sync-lagging"]


# What whoever is root of a host can make it say


def test_a_host_that_tells_a_thousand_problems_is_one_more_incident_and_not_a_thousand(watch):
    flood = [problem("worker2", f"x{number:04}", "disk") for number in range(1000)]
    told = watch.look(FULL, *flood)
    assert len(told) == 22
    assert "t worker1/disk/disk" in told
    assert "t worker2/health/too-many" in told
    assert watch.look(FULL, *flood) == []


def test_nothing_that_a_host_says_steers_a_terminal_or_makes_a_line(watch, capsys):
    evil = "a\x1b[2J\nb\u202ec"
    watch.look(problem(evil, evil, "disk", evil))
    output, errors = capsys.readouterr()
    assert output.count("\n") == 1
    assert errors == ""
    (event,) = watch.sent
    texts = [output.rstrip("\n"), event["dedup_key"], event["summary"], event["source"]]
    assert all(text.isprintable() for text in texts)


# The real thing: a process, rax, TLS


def test_pagerduty_opens_and_closes_an_incident(watch, server, environment):
    """No secret of this node is sent; the key is the same whatever the passwords are."""
    watch.options = ["--alert", "TEAM"]
    environment = environment | {"RAX_ENVIRONMENT": "production"}
    leaking = problem("h", "disk", "disk", f"it said {ROUTING_KEY}")
    watch.write(watch.report(leaking))
    run = watch.run_program(environment | FOUND)
    assert run.returncode == 0
    assert run.stderr == ""
    assert run.stdout == "looked at 4 hosts; problems: h disk disk; opened h/disk/disk\n"
    assert server.open == {"production/platform/h/disk/disk": 1}
    payload = server.events[0]["payload"]
    assert payload["summary"].startswith("Airflow production: disk of h: it said ***")
    assert payload["custom_details"]["kind"] == "disk"
    for _ in range(2):
        watch.now += 300
        watch.write(watch.report())
        run = watch.run_program(environment | SUCCESS)
    assert run.stdout == "looked at 4 hosts; problems: none; resolved h/disk/disk\n"
    assert server.open == {}
    assert ROUTING_KEY not in watch.state_file.read_text()


def test_a_pagerduty_that_hangs_is_waited_for_once(watch, server, environment):
    watch.options = ["--alert", "TEAM", "--limit", "1"]
    server.faults = [{"kind": "hang"}]
    watch.write(watch.report(FULL, problem("worker2", "home", "disk")))
    run = watch.run_program(environment | FOUND)
    assert run.returncode == 0
    assert "trigger of worker1/disk/disk: PagerDuty did not take" in run.stderr
    assert "trigger of worker2/home/disk: there was no time left" in run.stderr
    assert set(watch.state["incidents"].values()) == {"unsure"}
    server.faults = []
    watch.options[-1] = "20"
    watch.now += 300
    watch.write(watch.report(FULL, problem("worker2", "home", "disk")))
    watch.run_program(environment | FOUND)
    assert len(server.open) == 2
