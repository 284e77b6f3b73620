"""Redis and PostgreSQL, the refresh, the disks, and what other parts of a node write down."""

import json
import os
import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from rax.cli._node import disks, maintenance, postgresql, redis, worker

NOBODY = {"component": "redis", "kind": "silent"}


def one_problem(found):
    (problem,) = found["problems"]
    return problem["component"], problem["kind"], problem["problem"]


# Redis


@pytest.fixture
def broker(machine, monkeypatch, systemctl):
    """Have a server on this machine that answers whatever it is told to."""
    monkeypatch.setattr(redis, "FOLDER", machine)
    systemctl(redis_server={})
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    (machine / "redis.conf").write_text(
        f"# port 1\nappendonly yes\nport 2\nbind * -127.0.0.1\nport {port}\n"
    )
    replies = []

    def serve():
        while True:
            try:
                connection, _peer = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)
                reply = replies[0]
                if reply is None:
                    time.sleep(1)
                else:
                    connection.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    yield replies
    server.close()


@pytest.mark.parametrize("reply", [b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"])
def test_a_broker_that_answers(broker, status, lines, reply):
    broker.append(reply)
    code, found = status()
    assert (code, found["redis"]) == (0, {"127.0.0.1": "answers"})
    assert lines()[0]["redis"] == ["127.0.0.1 answers"]


@pytest.mark.parametrize(("reply", "problem"), [
    (b"-LOADING Redis is loading\r\n", "it answers -LOADING Redis is loading"),
    (b"-MISCONF no space\r\n", "it answers -MISCONF no space"),
    (b"", "it answers nothing"),
    (b"\x1b]0;OWNED\x07" + b"x" * 10**6, r"it answers \x1b]0;OWNED\x07xx"),
])  # fmt: skip
def test_a_broker_that_is_not_well(broker, status, reply, problem):
    broker.append(reply)
    component, kind, said = one_problem(status()[1])
    assert (component, kind) == ("redis", "silent")
    assert f": {problem}" in said
    assert len(said) < 600


def test_a_broker_that_says_nothing(broker, status, monkeypatch):
    monkeypatch.setattr(redis, "MAX_REPLY_SECONDS", 0.3)
    broker.append(None)
    component, kind, said = one_problem(status()[1])
    assert (component, kind) == ("redis", "silent")
    assert ": no answer within 0.3 s" in said


def test_a_broker_that_does_not_listen_on_one_of_its_addresses(broker, machine, status):
    broker.append(b"+PONG\r\n")
    text = (machine / "redis.conf").read_text()
    (machine / "redis.conf").write_text(text.replace("bind *", "bind 127.0.0.1 127.1.2.3"))
    _code, found = status()
    component, kind, said = one_problem(found)
    assert (component, kind) == ("redis", "silent")
    assert said.startswith("127.1.2.3, port ")
    assert found["redis"]["127.0.0.1"] == "answers"


def test_a_broker_whose_unit_is_down_is_told_once(broker, systemctl, status):
    broker.append(b"")
    systemctl(redis_server={"ActiveState": "failed", "SubState": "failed"})
    component, kind, said = one_problem(status()[1])
    assert (component, kind) == ("redis", "inactive")
    assert said.startswith("redis-server.service is failed")


# PostgreSQL


@pytest.fixture
def database(machine, monkeypatch, systemctl, program):
    """Have a database whose pg_isready ends with a code, after it wrote down what it was asked."""
    monkeypatch.setattr(postgresql, "FOLDER", machine)
    systemctl(**{"postgresql@15-main.service": {}})
    (machine / "postgresql.conf").write_text(
        "listen_addresses = 'localhost, 10.0.0.2'\nport = 5433\n"
    )

    def use(**codes):
        known = {f"--host={host}": code for host, code in codes.items()}
        program(
            "pg_isready",
            f"import sys\nassert '--port=5433' in sys.argv, sys.argv\n"
            f"sys.exit({known!r}.get(sys.argv[2], 0))",
        )

    return use


def test_a_database_that_answers(database, status):
    database()
    code, found = status()
    assert code == 0
    assert found["postgresql"] == dict.fromkeys(
        ["/var/run/postgresql", "localhost", "10.0.0.2"], "answers"
    )


@pytest.mark.parametrize(("codes", "problem"), [
    ({"/var/run/postgresql": 2}, "/var/run/postgresql, port 5433: no answer within 5 s"),
    ({"10.0.0.2": 2}, "10.0.0.2, port 5433: no answer within 5 s"),
    ({"localhost": 1}, "localhost, port 5433: it refuses connections"),
    ({"localhost": 77}, "localhost, port 5433: pg_isready ended with 77"),
])  # fmt: skip
def test_a_database_that_is_not_well(database, status, codes, problem):
    database(**codes)
    component, kind, said = one_problem(status()[1])
    assert (component, kind) == ("postgresql", "silent")
    assert said.startswith(problem)


@pytest.mark.usefixtures("database")
def test_a_database_that_cannot_be_asked(status, monkeypatch, machine):
    monkeypatch.setenv("PATH", f"{machine}/bin")
    assert "pg_isready is not on this machine" in one_problem(status()[1])[2]


# The refresh

LONG_AGO = 1769847004


@pytest.fixture
def refreshed(machine, systemctl):
    def use(timer=None, service=None, **numbers):
        well = {"last_run_success": 1, "consecutive_failures": 0, "vault_up": 1, "alert_unsent": 0}
        numbers = {"last_success_timestamp_seconds": int(time.time()) - 60} | well | numbers
        metrics = machine / "caspian_credentials.prom"
        metrics.write_text("# HELP x y\n" + "".join(
            f"caspian_credentials_{name} {number}\n" for name, number in numbers.items()
        ) + 'caspian_credentials_host_delivered{host="last_run_success 0"} 1\n')  # fmt: skip
        unit = {"Type": "oneshot", "ActiveState": "inactive",
                "ExecStopPost": f"{{ argv[]=/x --metrics {metrics} --source c ; }}"}  # fmt: skip
        times = {"LastTriggerUSec": "Sat 2026-01-31 08:00:00 UTC",
                 "NextElapseUSecRealtime": "Sat 2026-01-31 08:10:00 UTC"}  # fmt: skip
        systemctl(**{
            "caspian-refresh.timer": times | (timer or {}),
            "caspian-refresh.service": unit | (service or {}),
        })  # fmt: skip
        return metrics

    return use


def test_a_refresh_that_is_well(refreshed, status, lines):
    refreshed()
    code, found = status()
    assert code == 0
    success = found["refresh"].pop("last_success")
    assert datetime.fromisoformat(success) < datetime.now(UTC)
    assert found["refresh"] == {"timer": "active", "failures": 0, "vault_up": True}
    assert lines()[0]["refresh"][0].startswith("the last good run ended 1 min")


@pytest.mark.parametrize(("changes", "kind", "problem"), [
    ({"timer": {"ActiveState": "inactive"}}, "refresh",
     "caspian-refresh.timer is inactive: no credentials are refreshed"),
    ({"last_run_success": 0, "consecutive_failures": 3}, "refresh",
     "its last run failed (3 in a row, the last good one ended 1 min"),
    ({"last_run_success": 0, "consecutive_failures": 1, "last_success_timestamp_seconds": 0},
     "refresh", "its last run failed (1 in a row): `journalctl -u caspian-refresh.service`"),
    ({"last_success_timestamp_seconds": LONG_AGO}, "refresh", "the last good run ended "),
    ({"alert_unsent": 1}, "alerts-kept", "PagerDuty has not been told of its last alert"),
])  # fmt: skip
def test_what_is_wrong_with_the_refresh(refreshed, status, changes, kind, problem):
    refreshed(**changes)
    component, of, said = one_problem(status()[1])
    assert (component, of) == ("refresh", kind)
    assert said.startswith(problem)


@pytest.mark.parametrize("times", [
    {"LastTriggerUSec": ""},
    {"LastTriggerUSec": "Sat 2026-01-31 08:00:00 CET"},
    # It comes once a year.
    {"LastTriggerUSec": "Fri 2025-01-31 08:00:00 UTC"},
])  # fmt: skip
def test_a_refresh_that_is_not_due(refreshed, status, times):
    refreshed(timer=times, last_success_timestamp_seconds=int(time.time()) - 7200)
    assert status()[0] == 0


def test_a_refresh_that_has_left_no_metrics(refreshed, status):
    refreshed(service={"Result": "exit-code"}).unlink()
    assert one_problem(status()[1])[2].startswith("its last run failed (1 in a row)")


def test_metrics_that_somebody_has_led_elsewhere(refreshed, status):
    metrics = refreshed()
    metrics.unlink()
    metrics.symlink_to("/etc/passwd")
    assert one_problem(status()[1])[1] == "unanswered"
    metrics.unlink()
    os.mkfifo(metrics)
    assert "is not a regular file" in one_problem(status()[1])[2]


# The disks


class Statvfs:
    f_frsize = 4096
    f_blocks = f_files = 1000

    def __init__(self, free=500, available=450, files=500):
        self.f_bfree, self.f_bavail, self.f_ffree, self.f_favail = free, available, files, files


@pytest.mark.parametrize(("disk", "limit", "problem"), [
    (Statvfs(), "", None),
    (Statvfs(free=60, available=50), "", None),
    (Statvfs(free=100, available=49), "", "94.8"),
    (Statvfs(free=100, available=40), "", "95.7 % of its space is used"),
    (Statvfs(files=49), "", "95.1 % of its number of files is used"),
    (Statvfs(0, 0, 0), "", "100 % of its space is used and 100 % of its number of files is used"),
    (Statvfs(), "50", "52.6 % of its space is used"),
])  # fmt: skip
def test_how_full_a_disk_is(status, machine, monkeypatch, disk, limit, problem):
    monkeypatch.setenv("RAX_STATUS_DISK_PERCENT", limit)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    code, found = status()
    if problem is None or problem == "94.8":
        assert code == 0
        return
    component, kind, said = one_problem(found)
    assert (component, kind) == (str(machine), "disk")
    assert said == f"the disk of {machine} is nearly full: {problem}"


def test_a_disk_is_looked_at_once_and_a_file_system_may_have_no_count(status, machine, monkeypatch):
    (machine / "a").mkdir()
    monkeypatch.setattr(disks, "places", lambda: [machine, machine / "a"])
    disk = Statvfs()
    disk.f_files = disk.f_ffree = disk.f_favail = 0
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    (one,) = status()[1]["disks"]
    assert one == {"path": str(machine), "used_percent": 52.6, "files_used_percent": 0.0,
                   "free_bytes": 450 * 4096}  # fmt: skip


@pytest.mark.parametrize("limit", ["x", "0", "101", "-5"])
def test_a_limit_that_is_none(status, monkeypatch, limit):
    monkeypatch.setenv("RAX_STATUS_DISK_PERCENT", limit)
    assert f"RAX_STATUS_DISK_PERCENT is '{limit}'" in one_problem(status()[1])[2]


# What others write down


@pytest.fixture
def guard(machine, monkeypatch):
    path = machine / "guard.json"
    monkeypatch.setattr(worker, "GUARD", path)
    return path


@pytest.mark.parametrize(("content", "problem"), [
    ({"paused": "the log disk is full", "since": "2026-01-31T08:00:00Z"},
     ("worker", "worker-paused",
      "it takes no tasks since 2026-01-31T08:00:00Z: the log disk is full")),
    ({"paused": "", "since": None}, None),
    ({"paused": None}, None),
    ({}, None),
])  # fmt: skip
def test_the_guard_of_a_worker(guard, status, content, problem):
    guard.write_text(json.dumps(content))
    _code, found = status()
    assert [tuple(one.values()) for one in found["problems"]] == [problem] * bool(problem)


@pytest.mark.parametrize("content", ["", "[]", "5", "{" * 10**5, "x" * 10**6, None])
def test_a_guard_that_is_damaged(guard, status, content):
    """A link to nowhere is no file of the worker's."""
    guard.write_text(content) if content is not None else guard.symlink_to("/dev/zero")
    component, kind, _said = one_problem(status()[1])
    assert (component, kind) == ("worker", "unanswered")


@pytest.fixture
def cleaned(machine, monkeypatch, systemctl):
    path = machine / "maintenance.json"
    monkeypatch.setattr(maintenance, "STATUS", path)

    def use(content=None, **timer):
        systemctl(**{"airflow-maintenance.timer": timer})
        if content is not None:
            path.write_text(json.dumps(content))

    return use


NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
# It never gets old, however long the tests take.
YOUNG = "@32503680000"


@pytest.mark.parametrize(("content", "timer", "problem"), [
    ({"ended": NOW, "problems": []}, {}, None),
    (None, {"ActiveEnterTimestamp": YOUNG}, None),
    (None, {}, "it has never ended a run"),
    ({"ended": NOW, "problems": ["db clean: no answer"]}, {}, "db clean: no answer"),
    ({"ended": "2026-01-01T00:00:00Z", "problems": []}, {}, "the last run ended "),
    ({"ended": NOW, "problems": []}, {"ActiveState": "inactive"},
     "airflow-maintenance.timer is inactive"),
    ({"ended": 5, "problems": []}, {}, "is not of this version"),
    ({"ended": NOW, "problems": 5}, {}, "is not of this version"),
    ({"ended": "yesterday", "problems": []}, {}, "Invalid isoformat string"),
])  # fmt: skip
def test_the_clean_up(cleaned, status, content, timer, problem):
    cleaned(content, **timer)
    _code, found = status()
    if problem is None:
        assert found["problems"] == []
        return
    component, kind, said = one_problem(found)
    assert (component, kind) == ("maintenance", "maintenance")
    assert problem in said
