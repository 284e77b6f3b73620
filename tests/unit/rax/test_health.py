"""Asking a cluster for its health, without Airflow: an HTTP server answers in its place."""

import http.server
import json
import os
import socket
import threading
import time

import pytest

from rax.airflow import health
from rax.airflow.health import Problem, component_problems, list_workers, listed_workers

MONITOR, EXECUTION = "/api/v2/monitor/health", "/execution/health"
HEARTBEAT = "2026-01-31T12:00:00.000000+00:00"
WELL = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": HEARTBEAT},
    "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": HEARTBEAT},
    "triggerer": {"status": "healthy", "latest_triggerer_heartbeat": HEARTBEAT},
}
ALL = list(health.COMPONENTS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"scheduler": {"status": "unhealthy", "latest_scheduler_heartbeat": HEARTBEAT}},
            [("scheduler", f"unhealthy, last heartbeat {HEARTBEAT}")],
        ),
        (
            {"metadatabase": {"status": "unhealthy"}},
            [("metadatabase", "unhealthy, last heartbeat None")],
        ),
        (
            {"dag_processor": {"status": None, "latest_dag_processor_heartbeat": None}},
            [("dag-processor", "it never reported")],
        ),
        (
            {"dag_processor": None, "triggerer": {}},
            [("dag-processor", "it never reported"), ("triggerer", "it never reported")],
        ),
    ],
)
def test_component_problems(changes, expected):
    found = component_problems({**WELL, **changes}, ALL)
    assert found == [Problem("", component, "silent", problem) for component, problem in expected]


def test_a_component_that_is_not_reported_at_all():
    assert component_problems({}, ["triggerer"]) == [
        Problem("", "triggerer", "silent", "it never reported")
    ]


def test_only_wanted_components_count():
    assert component_problems({"scheduler": {"status": "healthy"}}, ["scheduler"]) == []


def test_the_list_of_workers(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert listed_workers() == []
    assert list_workers(["w2", "w1", "w2"])
    assert listed_workers() == ["w1", "w2"]
    assert not list_workers(iter(["w1", "w2"])), "no news"
    assert list_workers(["w1"])
    assert listed_workers() == ["w1"]
    assert [path.name for path in tmp_path.iterdir()] == ["health_workers.json"]


def test_the_list_of_workers_of_another_home(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", "/nowhere")
    assert list_workers(["w1"], str(tmp_path))
    assert listed_workers(str(tmp_path)) == ["w1"]


def test_the_list_of_workers_where_airflow_home_is_roots(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", "/nowhere")
    monkeypatch.setenv("RAX_HEALTH_DIR", str(tmp_path))
    assert list_workers(["w1"])
    assert listed_workers() == ["w1"]
    assert [path.name for path in tmp_path.iterdir()] == ["health_workers.json"]


def test_a_reader_never_sees_half_a_list(tmp_path, monkeypatch):
    """The DAG processor reads it at any time."""
    list_workers(["w1"], str(tmp_path))
    seen, real = [], os.replace
    monkeypatch.setattr(
        os, "replace", lambda *paths: (seen.append(listed_workers(str(tmp_path))), real(*paths))
    )
    list_workers(["w1", "w2"], str(tmp_path))
    assert seen == [["w1"]]
    assert listed_workers(str(tmp_path)) == ["w1", "w2"]


class Api:
    """A server that answers with `replies`: path → (status, body), or several one after another."""

    def __init__(self):
        self.replies = {MONITOR: (200, json.dumps(WELL)), EXECUTION: (200, '{"status": "healthy"}')}
        self.asked = []
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                api.asked.append(self.path)
                reply = api.replies.get(self.path, (404, "{}"))
                if isinstance(reply, list):
                    reply = reply.pop(0) if len(reply) > 1 else reply[0]
                status, body = reply
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def problems(self, seconds=0.0):
        """Return what is said after waiting for as long."""
        return health.wait_for_components(self.url, ALL, time.monotonic() + seconds)


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(health, "POLL_SECONDS", 0.01)
    api = Api()
    threading.Thread(target=api.server.serve_forever, args=(0.01,), daemon=True).start()
    yield api
    api.server.shutdown()
    api.server.server_close()


def test_a_healthy_cluster_is_not_waited_for(api):
    assert api.problems(60) == []
    assert api.asked == [MONITOR, EXECUTION]


def test_a_component_that_is_late(api):
    late = json.dumps({**WELL, "triggerer": {"status": None}})
    api.replies[MONITOR] = [(200, late), (503, ""), (200, "<html>"), (200, json.dumps(WELL))]
    assert api.problems(60) == []
    assert api.asked.count(MONITOR) == 4


def test_a_component_that_never_comes_whatever_the_status_says(api):
    api.replies[MONITOR] = (200, json.dumps({**WELL, "triggerer": {"status": None}}))
    assert api.problems(0.05) == [Problem("", "triggerer", "silent", "it never reported")]
    assert len(api.asked) > 2


@pytest.mark.parametrize("path", [MONITOR, EXECUTION])
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, "<html>Welcome</html>"), "Expecting value"),
        ((200, ""), "Expecting value"),
        ((200, "[]"), "did not answer with a JSON object"),
        ((500, "{}"), "HTTP Error 500: Internal Server Error"),
        ((404, "{}"), "HTTP Error 404: Not Found"),
    ],
)
def test_a_server_that_answers_with_something_else(api, path, reply, reason):
    api.replies[path] = reply
    (problem,) = api.problems()
    assert (problem.host, problem.component) == ("", "api-server")
    assert problem.problem.startswith(f"{api.url} does not answer: ")
    assert reason in problem.problem


def test_a_server_that_cannot_be_reached():
    with socket.socket() as taken:  # Bound, and not listened on: nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (problem,) = health.wait_for_components(url, ALL, 0)
    assert problem.component == "api-server"
    assert problem.problem.startswith(f"{url} does not answer: ")
    assert "Connection refused" in problem.problem
