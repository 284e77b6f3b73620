"""How the components of a scheduler host restart: together, and with an API server that answers."""

import http.server
import os
import subprocess
import threading

import pytest

from tests.unit.airflow.test_rax_settings import PREFLIGHT, play


class Api(http.server.BaseHTTPRequestHandler):
    """An API server that answers with errors at first."""

    answers = (200,)

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.answers[min(len(self.server.asked), len(self.answers)) - 1])
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Return the program of the role."""
    folder = tmp_path_factory.mktemp("role")
    render = {
        "ansible.builtin.copy": {
            "content": "{{ __airflow_restart }}",
            "dest": f"{folder}/restart",
            "mode": "0644",
        }
    }
    node = {"airflow_api_host": "127.0.0.1", "airflow_api_port": 65432}
    play(folder, {"node": node}, PREFLIGHT, render)
    return (folder / "restart").read_text()


@pytest.fixture
def restart(program, api, tmp_path):
    """Return what runs it with a systemctl that writes down its arguments."""
    # The role waits for minutes.
    program = program.replace("monotonic() + 300", "monotonic() + 1")
    (tmp_path / "restart").write_text(program.replace("65432", str(api.server_address[1])))
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/called\n')
    systemctl.chmod(0o755)

    def run(*units):
        done = subprocess.run(
            ["sh", tmp_path / "restart", *units],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr, (tmp_path / "called").read_text().splitlines()

    return run


def test_units_restart_in_one_call_and_the_api_server_is_waited_for(restart, api, monkeypatch):
    monkeypatch.setattr(Api, "answers", (503, 200))
    units = ("airflow-api-server", "airflow-scheduler")
    assert restart(*units) == (
        0,
        "",
        ["daemon-reload", f"enable --quiet {' '.join(units)}", f"restart {' '.join(units)}"],
    )
    assert api.asked == ["/api/v2/version"] * 2


def test_nothing_is_asked_where_no_api_server_restarts(restart, api):
    assert restart("airflow-scheduler")[:2] == (0, "")
    assert api.asked == []


def test_an_api_server_that_does_not_come_back_is_an_error(restart, api, monkeypatch):
    monkeypatch.setattr(Api, "answers", (500,))
    code, error, _ = restart("airflow-api-server")
    assert (code, error) == (
        1,
        "The API server does not answer 300 s after its restart (it answers with errors):"
        " journalctl -u airflow-api-server shows why. No worker was restarted.\n",
    )
    api.shutdown()
    api.server_close()
    code, error, _ = restart("airflow-api-server")
    assert code == 1
    assert "([Errno 111] Connection refused)" in error
