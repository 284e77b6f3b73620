"""Units that do not run, that restart over and over, or that run and do not answer."""

import http.server
import socket
import threading
import time

import pytest

from rax.cli._node import answers

# It never gets old, however long the tests take.
NOW = "@32503680000"


def test_the_services(systemctl, status, lines):
    systemctl(
        airflow_scheduler={},
        airflow_worker={"ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled",
                        "StateChangeTimestamp": "", "NRestarts": ""},
        # It has done its work, and waits for its timer.
        airflow_maintenance={"ActiveState": "inactive", "Type": "oneshot"},
    )  # fmt: skip
    _code, found = status()
    assert found["services"] == [
        {"unit": "airflow-scheduler.service", "state": "active", "substate": "running",
         "enabled": True, "restarts": 0, "since": "2026-01-31T08:10:04Z"},
        {"unit": "airflow-worker.service", "state": "inactive", "substate": "dead",
         "enabled": False, "restarts": 0, "since": None},
    ]  # fmt: skip
    first, second = lines()[0]["services"]
    assert first.startswith("airflow-scheduler.service active for ")
    assert second == "airflow-worker.service inactive, not enabled"


@pytest.mark.parametrize(("unit", "kind", "problem"), [
    ({"ActiveState": "failed", "SubState": "failed"}, "inactive",
     "airflow-worker.service is failed (failed): `journalctl -u airflow-worker.service`"),
    ({"ActiveState": "failed", "SubState": "failed", "UnitFileState": "disabled"}, "inactive",
     "airflow-worker.service is failed (failed)"),
    ({"ActiveState": "inactive", "SubState": "dead"}, "inactive",
     "airflow-worker.service is inactive (dead)"),
    ({"ActiveState": "activating", "SubState": "start"}, "inactive",
     "airflow-worker.service is activating (start)"),
    ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "12"}, "restarting",
     "airflow-worker.service ends again and again, 12 times so far"),
    ({"NRestarts": "3", "ActiveEnterTimestamp": NOW}, "restarting",
     "airflow-worker.service has ended 3 times, the last time "),
])  # fmt: skip
def test_what_is_wrong_with_a_unit(systemctl, status, unit, kind, problem):
    systemctl(airflow_worker=unit)
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert (one["component"], one["kind"]) == ("worker", kind)
    assert one["problem"].startswith(problem)
    assert "`journalctl -u airflow-worker.service`" in one["problem"]


@pytest.mark.parametrize("unit", [
    {"ActiveState": "reloading"},
    {"ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled"},
    # It was restarted in its time, and has run since.
    {"NRestarts": "40"},
    {"NRestarts": "2", "ActiveEnterTimestamp": NOW},
])  # fmt: skip
def test_what_is_right_with_a_unit(systemctl, status, unit):
    systemctl(airflow_worker=unit)
    assert status()[1]["problems"] == []


@pytest.mark.parametrize("text", ["pass", "raise SystemExit(1)"])
def test_a_machine_with_systemd_and_without_airflow(systemctl, status, text):
    """Versions of systemctl differ in what they say of it."""
    systemctl(text)
    _code, found = status()
    assert found["services"] is None


def test_a_systemctl_that_fails(systemctl, status):
    systemctl("raise SystemExit('no bus')")
    code, found = status()
    assert code == 1
    assert {"component": "services", "kind": "unanswered", "problem": "no bus (exit code 1)"} in (
        found["problems"]
    )


# Whether they answer


@pytest.fixture
def api(machine, monkeypatch, systemctl):
    """Have a server answer as the API and as the scheduler, whose units are active."""

    class Server:
        status = 200
        wait = 0.0

        def use(self, component="api_server", **unit):
            systemctl(**{f"airflow_{component}": unit})

    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(state.wait)
            self.send_response(state.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    settings = machine / "airflow.cfg"
    state.port = server.server_port
    settings.write_text(
        f"[api]\nhost = 127.0.0.1\nport = {state.port}\nx = 100%\n[scheduler]\n"
        f"scheduler_health_check_server_host = 0.0.0.0\n"
        f"scheduler_health_check_server_port = {state.port}\n"
    )
    monkeypatch.setattr(answers, "SETTINGS", settings)
    yield state
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("component", ["api_server", "scheduler"])
def test_components_that_answer(api, status, lines, component):
    api.use(component)
    code, found = status()
    name = component.replace("_", "-")
    assert (code, found["answers"]) == (0, {name: "answers"})
    assert lines()[0]["answers"] == [f"{name} answers"]


@pytest.mark.parametrize("component", ["api_server", "scheduler"])
def test_components_that_are_active_and_not_well(api, status, component):
    api.use(component)
    api.status = 503
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert (one["component"], one["kind"]) == (component.replace("_", "-"), "silent")
    assert " is active, and 127.0.0.1:" in one["problem"]
    assert "answers with the status 503" in one["problem"]


def test_a_component_that_takes_too_long(api, status, monkeypatch):
    monkeypatch.setattr(answers, "MAX_REPLY_SECONDS", 0.1)
    api.use()
    api.wait = 5.0
    (one,) = status()[1]["problems"]
    assert one["kind"] == "silent"
    assert "does not answer within 0.1 s" in one["problem"]


def test_a_component_that_starts_may_be_silent(api, status, lines):
    api.use(ActiveEnterTimestamp=NOW)
    api.status = 503
    assert status()[0] == 0
    assert lines()[0]["answers"] == ["api-server is starting"]


@pytest.mark.parametrize("port", ["taken", "x", "99999", "-1"])
def test_an_address_where_nothing_listens(api, machine, status, port):
    api.use()
    with socket.socket() as taken:  # Bound, and not listened on: nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1] if port == "taken" else port
        (machine / "airflow.cfg").write_text(f"[api]\nhost = 127.0.0.1\nport = {number}\n")
        (one,) = status()[1]["problems"]
    assert one["kind"] == "silent"
    assert "does not answer" in one["problem"]


def test_a_unit_that_is_not_active_is_not_asked(api, status):
    api.use(ActiveState="failed", SubState="failed")
    _code, found = status()
    assert [problem["kind"] for problem in found["problems"]] == ["inactive"]
    assert found["answers"] is None
