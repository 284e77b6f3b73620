"""Reading the log of each worker through the API server, which a real HTTP server stands in for."""

import http.server
import json
import threading

import pytest

from rax.airflow import _served_logs
from rax.airflow._served_logs import unreadable_logs

GROUP = "::group::Log message source details"
PATH = "/api/v2/log"


def log(*sources):
    """Return a log as the API server sends it, by lines of JSON."""
    lines = [{"event": GROUP, "sources": sources}, {"event": "::endgroup::"}, {"event": "done"}]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture
def server(monkeypatch):
    """Return the URL of a server, and a dict of what each path answers: a status and a body."""
    answers, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.headers["Authorization"], self.headers["Accept"]))
            status, body = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(_served_logs, "_token", lambda: "CANARY")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", answers, asked
        httpd.shutdown()


REFUSED = "Could not read served logs: host='node-3f2a', port=8793: Name or service not known"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, log("http://10.0.0.5:8793/log/a.log"), None),
        (200, log("/var/log/airflow/a.log"), None),
        # With [logging] logging_level ERROR, a log may be empty.
        (200, log(), None),
        (200, b"", None),
        (200, log(REFUSED), REFUSED),
        (200, log("http://10.0.0.5:8793/log/a.log", REFUSED), REFUSED),
        (200, log("!!!! Please make\nsure\x1b[31m"), "!!!! Please make sure\\x1b[31m"),
        (200, log("x" * 5000), "x" * 299 + "…"),
        (401, b"", "the API server did not give it: HTTP Error 401: Unauthorized"),
        # What a task has written, which may look like anything, says nothing of its source.
        (200, log("/a.log") + b'{"event": "Could not read served logs"}\n', None),
        (200, b'["sources"]\n{"sources": 1}\nnull\n\xff\n' + log(REFUSED), REFUSED),
    ],
)
def test_what_is_said_of_a_log(server, status, body, expected):
    url, answers, asked = server
    answers[PATH] = (status, body)
    assert unreadable_logs(url, {"w1": PATH}) == ({"w1": expected} if expected else {})
    assert asked == [("Bearer CANARY", "application/x-ndjson")]


def test_each_worker_has_a_reason_of_its_own(server):
    url, answers, _asked = server
    answers |= {"/1": (200, log(REFUSED)), "/2": (200, log("/a")), "/3": (404, b"")}
    found = unreadable_logs(url, {"w1": "/1", "w2": "/2", "w3": "/3"})
    assert {name: reason[:9] for name, reason in found.items()} == {
        "w1": "Could not",
        "w3": "the API s",
    }


def test_an_endless_log_is_not_read_to_its_end(server, monkeypatch):
    url, answers, _asked = server
    monkeypatch.setattr(_served_logs, "MAX_LINE_BYTES", 100)
    answers[PATH] = (200, b"x" * 10_000 + log(REFUSED))
    assert unreadable_logs(url, {"w1": PATH}) == {}


def test_a_server_that_is_away():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_served_logs, "_token", lambda: "CANARY")
        (reason,) = unreadable_logs("http://127.0.0.1:9", {"w1": PATH}).values()
    assert reason.startswith("the API server did not give it: ")
    assert "CANARY" not in reason


def test_nothing_is_asked_where_there_is_nothing_to_read():
    assert unreadable_logs("http://127.0.0.1:9", {}) == {}
