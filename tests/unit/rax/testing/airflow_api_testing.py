"""Airflow's REST API on a socket, as far as rax flow --target asks it, and with faults."""

import http.server
import json
import ssl
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD, TOKEN = "flow", "correct-horse-battery", "a.token.of-letters"
CHECK = {"module_path": "rax.airflow.workflow", "class_name": "CheckOperator"}


def task(name, *downstream, part="", **more):
    """Return a task as Airflow has it."""
    return {
        "task_id": name,
        "operator_name": f"@{part}" if part else "BashOperator",
        "class_ref": CHECK if part else {"module_path": "a", "class_name": "B"},
        "downstream_task_ids": [*downstream],
        **more,
    }


def instance(name, state="success", index=-1):
    """Return a task instance as Airflow has it."""
    return {
        "task_id": name,
        "state": state,
        "map_index": index,
        "try_number": 1,
        "duration": 0.5,
    }


class Cluster:
    """A cluster that has the workflow genes; each run takes the next of the states."""

    def __init__(self):
        self.dag = {"is_paused": False, "is_stale": False, "has_import_errors": False}
        self.tasks = [
            task("report", part="summary"),
            task("load", "report"),
            task("answers", "load", part="check"),
        ]
        self.instances = [
            instance("load", index=1),
            instance("report"),
            instance("answers"),
            instance("load", index=0),
        ]
        # By task, index and key.
        self.xcoms = {("load", 0, "return_value"): {"rows": 2}}
        self.states = ["queued", "running", "success"]
        self.version = "0123abc"
        self.runs = {}
        self.others = []
        self.import_errors = []
        # What is said in place of an answer, by method and path without its query: in turn, then
        # the answer.
        self.faults = {}
        self.asked = []
        self.logins = 0
        self.url = ""

    def answer(self, method, path, query, body):
        """Return a status and an answer."""
        if (method, path) == ("POST", "/auth/token"):
            self.logins += 1
            is_known = body == {"username": USER, "password": PASSWORD}
            return (201, {"access_token": TOKEN}) if is_known else (401, {"detail": "Unknown"})
        if path == "/api/v2/importErrors":
            return 200, {"import_errors": self.import_errors}
        dag, _, rest = path.removeprefix("/api/v2/dags/").partition("/")
        if dag != "genes" or self.dag is None:
            return 404, {"detail": f"no DAG {dag}"}
        if rest == "tasks":
            return 200, {"tasks": self.tasks}
        if not rest:
            return 200, self.dag
        run_id, _, rest = rest.removeprefix("dagRuns").removeprefix("/").partition("/")
        return self._of_runs(method, run_id, rest, query, body)

    def _of_runs(self, method, run_id, rest, query, body):
        if method == "POST":
            if {run["logical_date"] for run in self.runs.values()} & {body["logical_date"]} - {
                None
            }:
                return 409, {"detail": "a run of that date is there"}
            self.runs[body["dag_run_id"]] = {**body, "states": [*self.states]}
            return 200, {"dag_run_id": body["dag_run_id"], "state": "queued"}
        if not run_id:
            if query.get("state") == ["running"]:
                return 200, {"dag_runs": self.others}
            found = [
                self._run(name)
                for name, run in self.runs.items()
                if [run["logical_date"]] == query["logical_date_gte"] == query["logical_date_lte"]
            ]
            return 200, {"dag_runs": found}
        if run_id not in self.runs:
            return 404, {"detail": "no such run"}
        if method == "DELETE":
            del self.runs[run_id]
            return 204, None
        if not rest:
            return 200, self._run(run_id)
        if rest == "taskInstances":
            return self._instances(query)
        _, name, _, key = rest.split("/")
        place = (name, int(query["map_index"][0]), key)
        if place not in self.xcoms:
            return 404, {"detail": "XCom not found"}
        return 200, {"key": key, "value": self.xcoms[place]}

    def _run(self, run_id):
        states = self.runs[run_id]["states"]
        state = states.pop(0) if len(states) > 1 else states[0]
        return {"dag_run_id": run_id, "state": state, "bundle_version": self.version}

    def _instances(self, query):
        found = self.instances
        if "state" in query:
            return 200, {"task_instances": [{**found[0], "state": "running"}]}
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        return 200, {"task_instances": found[offset : offset + limit]}


@contextmanager
def served(cluster, certificate=None):
    """Serve a cluster on a port of this machine: by https, where it has a certificate."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _do(self):
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            cluster.asked.append((self.command, parts.path, self.headers["Authorization"], body))
            faults = cluster.faults.get((self.command, parts.path))
            if faults:
                fault = faults.pop(0)
                fault(self)
                return
            is_known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            if parts.path != "/auth/token" and not is_known:
                status, answer = 401, {"detail": "Not authenticated"}
            else:
                query = parse_qs(parts.query)
                status, answer = cluster.answer(self.command, parts.path, query, body)
            said(status, answer)(self)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 - as http.server has it

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cluster.url = f"http://127.0.0.1:{server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            cluster.url = f"https://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()


def said(status, answer, **headers):
    """Return what answers so: with JSON, or with bytes as they are."""

    def say(handler):
        content = answer if isinstance(answer, bytes) else b""
        if answer is not None and not isinstance(answer, bytes):
            content = json.dumps(answer).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return say


def dropped(handler):
    """Close the connection without a word."""
    handler.close_connection = True


def cut_off(handler):
    """Close the connection in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"a": ')
    handler.close_connection = True
