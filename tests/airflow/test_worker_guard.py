"""The guard of a worker: when it pauses and kills, what it says, and that nothing confuses it."""

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from celery import Celery
from kombu.asynchronous.timer import Timer

from rax.airflow import _worker_looks, worker_guard
from rax.airflow._worker_looks import ApiServer, LogDirectory, end_descendants, is_nearly_full
from rax.airflow.worker_guard import ConsumptionStep, Guard

FENCE = 330.0


class Fake:
    """Something to look at, with what is wrong with it."""

    def __init__(self):
        self.wrong = None

    def problem(self):
        if isinstance(self.wrong, Exception):
            raise self.wrong
        return self.wrong


class Worker:
    """A guard, its clock, and what it looks at and kills."""

    def __init__(self, status):
        self.now, self.api, self.logs, self.killed = 1000.0, Fake(), Fake(), []
        self.guard = Guard(
            self.api,
            self.logs,
            fence_after=FENCE,
            pool=lambda: [1],
            status=status,
            clock=lambda: self.now,
        )

    def after(self, seconds, api=True, logs=True):
        """Let time pass and have the guard act; a look that hangs is left out."""
        self.now += seconds
        for watch, looks in ((self.guard.api, api), (self.guard.logs, logs)):
            if looks:
                # The thread logs it and goes on.
                with contextlib.suppress(OSError):
                    watch.look()
        self.guard.act()
        return self.guard.paused


@pytest.fixture
def worker(tmp_path, monkeypatch):
    worker = Worker(tmp_path / "guard.json")

    def end(pool):
        worker.killed.append((worker.now - 1000.0, list(pool)))
        return 1

    monkeypatch.setattr(worker_guard, "end_descendants", end)
    return worker


def test_nothing_happens_while_all_is_well(worker, tmp_path):
    for _ in range(5):
        assert worker.after(5) is None
    assert list(tmp_path.iterdir()) == []
    assert worker.killed == []


def test_an_api_server_that_is_away(worker, tmp_path):
    worker.after(0)
    worker.api.wrong = "the API server does not answer (ConnectError)"
    assert [worker.after(seconds) for seconds in (15, 15)] == [None, None]
    assert worker.after(1) == worker.api.wrong
    assert worker.after(298) == worker.api.wrong
    assert worker.killed == []
    worker.after(2)
    # Again and again: what is killed may have started something.
    worker.after(5)
    assert worker.killed == [(331.0, [1]), (336.0, [1])]
    worker.api.wrong = None
    assert worker.after(5) is None
    assert len(worker.killed) == 2
    assert list(tmp_path.iterdir()) == []


def test_logs_pause_at_once_and_kill_nothing(worker):
    worker.after(0)
    worker.logs.wrong = "its log directory is nearly full"
    assert worker.after(1) == worker.logs.wrong
    worker.after(1000)
    assert worker.killed == []
    worker.logs.wrong = None
    assert worker.after(1) is None


@pytest.mark.parametrize(
    ("hanging", "expected"),
    [("api", "the API server does not answer"), ("logs", "its log directory does not answer")],
)
def test_a_look_that_hangs_is_an_answer_too(worker, hanging, expected):
    worker.after(0)
    assert worker.after(30, **{hanging: False}) is None
    assert worker.after(1, **{hanging: False}) == expected
    worker.after(300, **{hanging: False})
    assert bool(worker.killed) == (hanging == "api")
    assert worker.after(1) is None


def test_a_look_that_fails_itself_pauses_as_no_answer_does(worker):
    worker.after(0)
    worker.logs.wrong = OSError("too many open files")
    assert worker.after(30) is None
    assert worker.after(1) == "its log directory does not answer"


def test_one_that_never_found_the_api_server_pauses_and_kills_nothing(worker):
    worker.api.wrong = "the API server does not answer (ConnectError)"
    assert worker.after(31) == worker.api.wrong
    worker.after(1000)
    assert worker.killed == []


def test_the_file_says_why_and_since_when(worker, tmp_path):
    worker.logs.wrong = "its log directory /x is nearly full"
    worker.after(1)
    said = json.loads((tmp_path / "guard.json").read_text())
    assert said["paused"] == worker.logs.wrong
    assert said["since"].endswith("+00:00")
    worker.logs.wrong = "its log directory /x cannot be written (No space left on device)"
    worker.after(1)
    now = json.loads((tmp_path / "guard.json").read_text())
    assert now == {"paused": worker.logs.wrong, "since": said["since"]}
    assert [path.name for path in tmp_path.iterdir()] == ["guard.json"]


def test_a_file_that_cannot_be_written_changes_nothing_else(worker, tmp_path, caplog):
    worker.guard._status = tmp_path / "missing" / "guard.json"
    worker.logs.wrong = "full"
    assert worker.after(1) == "full"
    assert "guard.json cannot be written" in caplog.text
    worker.logs.wrong = None
    assert worker.after(1) is None


def test_what_it_says_is_said_once(worker, caplog):
    caplog.set_level(logging.INFO)
    worker.logs.wrong = "full"
    for _ in range(3):
        worker.after(1)
    worker.logs.wrong = None
    for _ in range(3):
        worker.after(1)
    assert [record.getMessage() for record in caplog.records] == [
        "This worker takes no more tasks: full",
        "This worker takes tasks again",
    ]


def test_a_thread_outlives_any_error(monkeypatch):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise SystemExit

    monkeypatch.setattr(worker_guard.time, "sleep", sleep)
    with pytest.raises(SystemExit):
        worker_guard._repeat(lambda: 1 / 0, 7)
    assert slept == [7, 7, 7]


# The worker's consumer


Queue = namedtuple("Queue", "name")


class Tasks:
    """A consumer of tasks, as kombu has it."""

    def __init__(self, *names):
        self.names = list(names)

    queues = property(lambda self: [Queue(name) for name in self.names])

    def cancel_by_queue(self, name):
        self.names.remove(name)

    def consuming_from(self, name):
        return name in self.names

    def add_queue(self, queue):
        self.names.append(queue.name)

    def consume(self):
        pass


@pytest.fixture
def consumer(worker):
    class Consumer:
        controller = worker
        task_consumer = Tasks("default", "w1")
        timer = Timer()
        app = namedtuple("App", "amqp")(
            namedtuple("Amqp", "queues")({name: Queue(name) for name in ("default", "w1", "more")})
        )

    return Consumer()


def test_a_paused_worker_consumes_nothing_also_after_a_reconnect(worker, consumer):
    step = ConsumptionStep(consumer)
    step.start(consumer)
    assert consumer.task_consumer.names == ["default", "w1"]
    worker.guard.paused = "full"
    step.follow(consumer)
    assert consumer.task_consumer.names == []
    # A new connection takes up all queues.
    step.stop(consumer)
    consumer.task_consumer = Tasks("default", "w1")
    step.start(consumer)
    assert consumer.task_consumer.names == []
    worker.guard.paused = None
    step.follow(consumer)
    assert sorted(consumer.task_consumer.names) == ["default", "w1"]


def test_a_reconnect_on_which_all_is_well_again(worker, consumer):
    step = ConsumptionStep(consumer)
    worker.guard.paused = "full"
    step.start(consumer)
    worker.guard.paused = None
    consumer.task_consumer = Tasks("default", "w1")
    step.start(consumer)
    assert consumer.task_consumer.names == ["default", "w1"]


def test_a_queue_that_a_person_took_away_stays_away(worker, consumer):
    step = ConsumptionStep(consumer)
    step.start(consumer)
    consumer.task_consumer.cancel_by_queue("w1")
    worker.guard.paused = "full"
    step.follow(consumer)
    worker.guard.paused = None
    step.follow(consumer)
    assert consumer.task_consumer.names == ["default"]


def test_it_follows_by_the_worker_s_own_clock_until_the_connection_ends(worker, consumer):
    step = ConsumptionStep(consumer)
    step.start(consumer)
    worker.guard.paused = "full"
    (entry,) = list(consumer.timer.queue)
    entry.entry.fun(*entry.entry.args)
    assert consumer.task_consumer.names == []
    step.stop(consumer)
    assert all(entry.entry.canceled for entry in consumer.timer.queue)


def test_celery_gives_each_worker_its_guard(monkeypatch):
    # Another test may have imported what signs messages, which hears of each worker too.
    monkeypatch.setenv("RAX_WORKLOAD_PUBLIC_KEYS", "A" * 43 + "=")
    app = Celery("x", broker="memory://")
    worker_guard.celeryd_init.send(sender="w1", instance=namedtuple("I", "app")(app), conf=app.conf)
    worker = app.WorkController(pool="solo")
    names = [step.name for step in worker.steps]
    assert names.index("celery.worker.components.Pool") < names.index(
        "rax.airflow.worker_guard.GuardStep"
    ) < names.index("celery.worker.components.Consumer")  # fmt: skip
    consumer = app.steps["consumer"]
    assert ConsumptionStep in consumer


def test_the_guard_is_before_the_scheduler():
    """Look at the sum of what may pass between a task's last heartbeat and its end."""
    last = 5 + 2 * worker_guard.LOOK_SECONDS + _worker_looks.API_SECONDS + worker_guard.ACT_SECONDS
    assert last < worker_guard.FENCE_SECONDS


# The looks


class Api(BaseHTTPRequestHandler):
    """An API server with what it answers."""

    status, body, asked = 200, b"{}", []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Api,), {"asked": []}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def health(database):
    return json.dumps({"metadatabase": {"status": database}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, health("healthy"), None),
        (200, health("unhealthy"), "the API server's database does not answer"),
        # An answer that is none of ours is one of a server that is there.
        (200, b"", None),
        (200, b"[]", None),
        (200, b'{"metadatabase": null}', None),
        (200, b"\xff", None),
        (302, b"", None),
        (401, b"{}", None),
        (404, b"<html>", None),
        (500, b"{}", "the API server answers with status 500"),
        (503, b"", "the API server answers with status 503"),
    ],
)
def test_what_the_api_server_may_answer(api, status, body, expected):
    api.RequestHandlerClass.status, api.RequestHandlerClass.body = status, body
    at = f"http://127.0.0.1:{api.server_address[1]}"
    for url in (f"{at}/execution/", f"{at}/execution"):
        assert ApiServer(url).problem() == expected
    assert set(api.RequestHandlerClass.asked) == {"/api/v2/monitor/health"}


def test_the_page_is_beside_the_execution_api():
    assert (
        ApiServer("https://x/airflow/execution/").url == "https://x/airflow/api/v2/monitor/health"
    )


def test_an_api_server_that_is_not_there_is_asked_once(api):
    look = ApiServer(f"http://127.0.0.1:{api.server_address[1]}/execution/")
    assert look.problem() is None
    api.shutdown()
    api.server_close()
    assert look.problem().startswith("the API server does not answer (")


def test_a_log_directory(tmp_path):
    look = LogDirectory(str(tmp_path))
    assert look.problem() is None
    assert list(tmp_path.iterdir()) == []
    assert LogDirectory(str(tmp_path / "x")).problem() == (
        f"its log directory {tmp_path}/x cannot be written (No such file or directory)"
    )
    (tmp_path / "file").touch()
    assert "cannot be written (Not a directory)" in LogDirectory(str(tmp_path / "file")).problem()
    assert LogDirectory("/dev/full/..").problem()


Space = namedtuple("Space", "f_frsize f_blocks f_bavail f_files f_favail")
GIB = 2**18  # In blocks of 4 KiB.


@pytest.mark.parametrize(
    ("space", "once", "twice"),
    [
        (Space(4096, 100 * GIB, 50 * GIB, 10**6, 10**6), False, False),
        # 256 MiB of a large file system.
        (Space(4096, 100 * GIB, GIB // 4, 10**6, 10**6), False, True),
        (Space(4096, 100 * GIB, GIB // 4 - 1, 10**6, 10**6), True, True),
        # A twentieth of a small one.
        (Space(4096, GIB, GIB // 20 + 1, 10**6, 10**6), False, True),
        (Space(4096, GIB, GIB // 20 - 1, 10**6, 10**6), True, True),
        (Space(4096, GIB, GIB // 9, 10**6, 10**6), False, False),
        # Inodes, and a file system that counts none.
        (Space(4096, GIB, GIB, 10**6, 999), True, True),
        (Space(4096, GIB, GIB, 10**6, 1000), False, True),
        (Space(4096, GIB, GIB, 100, 4), True, True),
        (Space(4096, GIB, GIB, 0, 0), False, False),
    ],
)
def test_nearly_full(space, once, twice):
    assert (is_nearly_full(space), is_nearly_full(space, 2)) == (once, twice)


def test_a_full_directory_is_well_again_only_with_twice_as_much(tmp_path, monkeypatch):
    look, free = LogDirectory(str(tmp_path)), iter([300, 200, 300, 600, 300])
    monkeypatch.setattr(
        _worker_looks.os, "statvfs", lambda _: Space(2**20, 10**6, next(free), 10**6, 10**6)
    )
    assert [look.problem() is None for _ in range(5)] == [True, False, False, True, True]


# The end of tasks


TREE = """
import os, subprocess, sys, time
# A task whose shell would go on to its next command, in a session of its own as BashOperator's.
shell = ["sh", "-c", "sleep 60; touch {marker}"]
task = f"import subprocess; subprocess.run({shell}, start_new_session=True)"
subprocess.Popen([sys.executable, "-c", task])
print("there", flush=True)
time.sleep(60)
"""


def test_all_that_a_process_started_is_killed_and_nothing_else(tmp_path):
    marker = tmp_path / "went on"
    with subprocess.Popen(
        [sys.executable, "-c", TREE.replace("{marker}", str(marker))],
        stdout=subprocess.PIPE,
        text=True,
    ) as pool:
        try:
            pool.stdout.readline()
            parent = psutil.Process(pool.pid)
            deadline = time.monotonic() + 30
            while "sleep" not in (names := [p.name() for p in parent.children(recursive=True)]):
                assert time.monotonic() < deadline, names
                time.sleep(0.05)
            below = parent.children(recursive=True)
            assert end_descendants([pool.pid]) == len(below) == 3
            psutil.wait_procs(below, 10)
            assert pool.poll() is None
            assert end_descendants([pool.pid]) == 0
            assert not marker.exists()
        finally:
            pool.kill()


def test_processes_that_are_gone_are_no_error():
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert end_descendants([ended.pid]) == 0
    assert end_descendants([]) == 0
