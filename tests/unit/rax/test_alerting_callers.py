"""Who sends an alert: signals, threads, forks, other processes, and arguments of any kind."""

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rax import alerting
from rax.alerting import _pagerduty, _sender, _spool, flush
from rax.alerting._deferred_log import DeferredLog
from rax.errors import AlertError
from tests.unit.rax.alerting_testing import alert, events_of, summaries, up

SOURCE = Path(alerting.__file__).parents[2]


class Timeout(BaseException):
    """As Airflow's time-out of a task: from a signal, in the main thread."""


@pytest.mark.parametrize("error", [Timeout, TimeoutError, RuntimeError])
def test_what_a_signal_raises_passes_through(pagerduty, alerting_node, error):
    pagerduty.faults = [{"kind": "hang"}]

    def end(*_):
        raise error

    old = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(error):
            alert("a", limit=30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert events_of(alerting_node) == {"0000000000000001.json": "a"}
    up(pagerduty)
    assert alert("b").state == "sent"
    assert summaries(pagerduty.events) == ["t:a", "t:b"]


def test_under_a_running_event_loop(pagerduty):
    async def work():
        return alert("a"), await asyncio.to_thread(alert, "b")

    assert asyncio.run(work()) == (("sent", ""), ("sent", ""))
    assert summaries(pagerduty.events) == ["t:a", "t:b"]


def test_without_threads_it_is_spooled(pagerduty, monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert alert("a") == ("spooled", "this process can start no thread to send it")
        with pytest.raises(AlertError, match="this process can start no thread to send from"):
            flush()
    assert flush().sent == 1
    assert summaries(pagerduty.events) == ["t:a"]


def test_at_the_end_of_the_interpreter_it_is_sent_or_spooled(pagerduty, alerting_node):
    program = (
        "import atexit; from rax.alerting import trigger;"
        "atexit.register(lambda: print(trigger('a', dedup_key='k').state))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() in ("sent", "spooled")
    flush()
    assert summaries(pagerduty.events) == ["t:a"]
    assert alerting_node.files == []


def test_who_is_late_leaves_it_to_who_sends(down, alerting_node):
    """The lock is another's; that one looks again before it lets go."""
    alert("a")
    descriptor = os.open(alerting_node.spool, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    up(down)
    try:
        problem = "another process was sending what is spooled, and not done within 0.3 s"
        assert alert("b", limit=0.3) == ("spooled", problem)
        assert flush(limit=0.3) == (0, 0, 2, problem)
    finally:
        os.close(descriptor)
    assert down.requests == []
    assert flush().sent == 2
    assert summaries(down.events) == ["t:a", "t:b"]


def test_a_request_that_the_limit_would_cut_is_not_begun(pagerduty, monkeypatch):
    """PagerDuty might have taken it, and would get it again."""
    monkeypatch.setattr(_pagerduty.Deadline, "left", 3.9)
    host = pagerduty.url.removeprefix("https://")
    assert alert("a") == ("spooled", f"{host} was not asked: too little of 20 s was left")
    assert pagerduty.requests == []


def test_an_alert_that_another_process_has_sent_or_refused_says_so(pagerduty, alerting_node, log):
    alerting_node.spool.mkdir(parents=True, mode=0o700)
    for fault, expected in [
        (None, ("sent", "")),
        ({"kind": "status", "status": 400}, ("refused", "answered 400")),
    ]:
        pagerduty.faults = [fault] if fault else []
        descriptor = os.open(alerting_node.spool, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        outcomes = []
        caller = threading.Thread(target=lambda: outcomes.append(alert("a")))  # noqa: B023 - joined below
        caller.start()
        while not events_of(alerting_node):
            threading.Event().wait(0.01)
        # What the other process does while it holds the lock.
        with _spool.Spool() as spool, _sender.Sender(_sender.Deadline(20), DeferredLog()) as sender:
            sender.send_all(spool)
        caller.join()
        os.close(descriptor)
        (outcome,) = outcomes
        assert outcome.state == expected[0]
        assert outcome.problem.endswith(expected[1])
    assert "INFO alert sent by another process: trigger of 'k': a" in log()


def test_a_fork_does_not_keep_the_lock(pagerduty, alerting_node):
    """A task forks while the thread of an alert that was too late still sends."""
    pagerduty.faults = [{"kind": "slow", "seconds": 3600}]
    assert alert("a", limit=0.3).state == "spooled"
    workers = [thread for thread in threading.enumerate() if thread.name == "rax-alert"]
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        for worker in workers:
            worker.join()
        up(pagerduty)
        assert alert("b", limit=20) == ("sent", "")
    finally:
        os.close(write)
        os.waitpid(child, 0)
    assert summaries(pagerduty.events) == ["t:a", "t:b"]
    assert alerting_node.files == []


def test_a_fork_does_not_keep_the_lock_of_a_process_that_is_killed(pagerduty, alerting_node):
    pagerduty.faults = [{"kind": "hang"}]
    program = (
        "import os, signal, sys, threading; from rax.alerting import trigger\n"
        "options = {'dedup_key': 'k', 'limit': 600}\n"
        "threading.Thread(target=trigger, args=['a'], kwargs=options, daemon=True).start()\n"
        "sys.stdin.readline()\n"
        "if os.fork(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        while not pagerduty.connections:
            assert process.poll() is None
            threading.Event().wait(0.01)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait() == -signal.SIGKILL
        # The fork lives until its standard input ends.
        up(pagerduty)
        assert flush() == (1, 0, 0, "")
    assert summaries(pagerduty.events) == ["t:a"]
    assert alerting_node.files == []


def test_a_handler_that_fails_changes_nothing(pagerduty):
    class Broken(logging.Handler):
        def emit(self, _):
            raise ValueError("canary")

    handler = Broken()
    logging.getLogger("rax.alerting").addHandler(handler)
    logging.getLogger("rax.alerting").setLevel(logging.INFO)
    try:
        assert alert("a") == ("sent", "")
    finally:
        logging.getLogger("rax.alerting").removeHandler(handler)
        logging.getLogger("rax.alerting").setLevel(logging.NOTSET)
    assert len(pagerduty.events) == 1


class Hostile:
    """An object whose own code fails, in the way that is given."""

    def __init__(self, error):
        self.error = error

    def fail(self, *_):
        raise self.error

    __str__ = __repr__ = __eq__ = __len__ = __iter__ = __float__ = __bool__ = fail
    __hash__ = object.__hash__


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.text(st.characters(categories=["Cs", "Cc"]))
    | st.sampled_from([ValueError("canary"), KeyError(), RecursionError(), SystemExit(3)]).map(
        Hostile
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(ANYTHING, min_size=5, max_size=5),
    st.dictionaries(st.sampled_from(["component", "group", "class_", "links", "limit"]), ANYTHING),
    ANYTHING,
)
def test_no_argument_makes_it_raise(down, arguments, options, key):  # noqa: ARG001 - its server
    for outcome in (alerting.trigger(*arguments, **options), alerting.resolve(key)):
        assert outcome.state in ("spooled", "refused", "lost")
        assert "canary" not in outcome.problem
