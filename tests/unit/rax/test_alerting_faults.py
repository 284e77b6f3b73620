"""Alerts of processes that are killed at every step, of full disks, and of many at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from itertools import groupby
from pathlib import Path

import pytest

from rax import alerting
from rax.alerting import flush, pending, refused, resolve, trigger
from tests.unit.rax.alerting_testing import summaries

# A sweep makes some dozens of processes.
pytestmark = pytest.mark.timeout(300)

SOURCE = Path(alerting.__file__).parents[2]

# Calls a function of rax.alerting again and again, each time in a copy of itself, which spares the
# imports, as it spares the time for the disk. Just before the step of the given number - whatever
# changes or locks a file, or connects - it is killed; or the disk is full from there on.
DRIVER = """
import errno, json, os, signal, sys
from rax import alerting
import pagerduty

STEPS = {
    "fcntl.flock", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "socket.connect",
}
MAKING = {"os.link", "os.mkdir"}
spool = os.environ["XDG_STATE_HOME"] + "/"

def run(output, fault, step, name, arguments):
    def passes(what, makes):
        nonlocal step
        if fault == "killed" or makes:
            step -= 1
        if fault == "killed" and step == 0:
            with open(output, "w") as file:
                file.write(what)
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "disk full" and makes and step <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            if str(path) != output and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                passes(event, bool(flags & os.O_CREAT))
        elif event in STEPS:
            passes(f"{event} {arguments[0]}", event in MAKING)

    os.fsync = lambda _: passes("fsync", True)
    sys.addaudithook(hook)
    outcome = getattr(alerting, name)(*arguments)
    step = -1
    fault = None
    with open(output, "w") as file:
        json.dump(outcome, file)
    os._exit(0)

for line in sys.stdin:
    arguments = json.loads(line)
    child = os.fork()
    if not child:
        try:
            run(*arguments)
        finally:
            os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{code}\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def faulty(pagerduty, alerting_node):  # noqa: ARG001 - its environment
    """Return a function that calls another with a fault at a step; it returns code and output."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    ) as driver:

        def run(fault, step, name, *arguments):
            output = alerting_node.path / "output"
            driver.stdin.write(json.dumps([str(output), fault, step, name, arguments]) + "\n")
            code = int(driver.stdout.readline())
            return code, output.read_text()

        yield run
        driver.stdin.close()


def spool_two(pagerduty, pauses):
    """Leave an alert and its end in the spool."""
    pagerduty.faults = [{"kind": "status", "status": 503}]
    trigger("a", dedup_key="k")
    resolve("k")
    assert len(pending()) == 2
    pauses.clear()


def sweep(pagerduty, node, fault, run, *call):
    """Begin in the same state each time, with the fault one step later; yield after each fault."""
    begin = node.path / "begin"
    node.spool.mkdir(parents=True, exist_ok=True)
    shutil.copytree(node.spool, begin)
    for step in range(1, 200):
        shutil.rmtree(node.spool)
        shutil.copytree(begin, node.spool)
        pagerduty.forget()
        pagerduty.events.clear()
        pagerduty.open.clear()
        code, told = run(fault, step, *call)
        yield step, code, told


def settle(node):
    """Do what cron does next; all must be sent, and nothing may be left over."""
    assert flush().pending == 0
    assert [name for name in node.files if not name.startswith("refused/")] == []


def test_kill9_every_step(pagerduty, alerting_node, pauses, faulty):
    """Nothing accepted is lost; one event comes twice at most, between answer and unlink."""
    spool_two(pagerduty, pauses)
    call = ("trigger", "b", "error", "h", {}, "k")
    seen, twice = set(), []
    for step, code, told in sweep(pagerduty, alerting_node, "killed", faulty, *call):  # noqa: B007 - used after it
        accepted = "b" in [entry.summary for entry in pending()] or len(pagerduty.events) > 2
        settle(alerting_node)
        found = [(word, len(list(group))) for word, group in groupby(summaries(pagerduty.events))]
        words = [word for word, _ in found]
        assert words == (["t:a", "r:k", "t:b"] if accepted else ["t:a", "r:k"]), told
        again = [word for word, times in found if times > 1]
        seen.add(accepted)
        if code == 0:
            assert json.loads(told) == ["sent", ""]
            assert not again
            break
        assert code == -signal.SIGKILL
        assert sum(times - 1 for _, times in found) <= 1
        if again:
            assert told.startswith("os.remove 000"), told
            twice += again
    # The window is there for each of the three, and nowhere else.
    assert twice == ["t:a", "r:k", "t:b"]
    assert seen == {False, True}
    assert 15 < step < 60


def test_kill9_every_step_of_the_first_alert(pagerduty, alerting_node, faulty):
    seen = set()
    call = ("trigger", "b", "error", "h", {}, "k")
    for step in range(1, 100):
        shutil.rmtree(alerting_node.path / "state", ignore_errors=True)
        pagerduty.events.clear()
        code, _ = faulty("killed", step, *call)
        settle(alerting_node)
        seen.add(tuple(summaries(pagerduty.events)))
        if code == 0:
            break
    assert code == 0
    assert seen == {(), ("t:b",), ("t:b", "t:b")}


def test_kill9_every_step_of_a_refusal(pagerduty, alerting_node, pauses, faulty):
    """It is put aside, or still in the spool and sent; and those behind it are sent."""
    spool_two(pagerduty, pauses)
    seen = set()
    for _, code, _ in sweep(pagerduty, alerting_node, "killed", faulty_refusal(pagerduty, faulty)):
        pagerduty.faults = []
        settle(alerting_node)
        words = tuple(word for word, _ in groupby(summaries(pagerduty.events)))
        aside = tuple(entry.summary for entry in refused())
        assert words in (("t:a", "r:k"), ("r:k",), ("r:k", "t:a"), ("r:k", "t:a", "r:k"))
        assert aside in ((), ("a",))
        assert "t:a" in words or aside == ("a",)
        seen.add((words, aside))
        if code == 0:
            break
    assert code == 0
    assert (("r:k",), ("a",)) in seen
    assert (("t:a", "r:k"), ()) in seen


def faulty_refusal(pagerduty, run):
    """Return a flush whose first event is refused."""

    def refusing(fault, step):
        pagerduty.faults = [{"kind": "status", "status": 400, "times": 1}]
        return run(fault, step, "flush")

    return refusing


@pytest.mark.parametrize("is_up", [True, False])
def test_disk_full_every_step(pagerduty, alerting_node, pauses, faulty, is_up):
    """From any moment on: sent past the spool, or lost, and told so; what is spooled stays."""
    spool_two(pagerduty, pauses)
    states, problems = set(), set()

    def run(*arguments):
        pagerduty.faults = [] if is_up else [{"kind": "status", "status": 403}]
        return faulty(*arguments)

    call = ("trigger", "b", "error", "h", {}, "k")
    for step, code, told in sweep(pagerduty, alerting_node, "disk full", run, *call):
        assert code == 0
        state, problem = json.loads(told)
        pagerduty.faults = []
        settle(alerting_node)
        expected = ["t:a", "r:k"] if state == "lost" else ["t:a", "r:k", "t:b"]
        assert summaries(pagerduty.events) == expected
        assert state in ({"sent"} if is_up else {"lost", "spooled"})
        states.add(state)
        problems.add("No space left on device" in problem)
        assert "No space left on device" in problem or state != "lost"
        if step > 8:
            break
    assert states == ({"sent"} if is_up else {"lost", "spooled"})
    assert problems == {True, False}


# Many at once

CALLER = """
import sys
from rax.alerting import resolve, trigger

name = sys.argv[1]
for number in range(int(sys.argv[2])):
    outcome = trigger(f"{name} {number}", dedup_key=name, limit=30)
    print(outcome.state)
    assert outcome.state in ("sent", "spooled"), outcome
    assert resolve(name, limit=30).state in ("sent", "spooled")
"""


def test_several_processes_at_once(pagerduty, alerting_node):
    """Each event once, those of a key in their order, while PagerDuty fails now and then."""
    pagerduty.faults = [
        {"kind": "reset", "times": 1},
        {"kind": "status", "status": 503, "times": 1},
        {"kind": "slow", "seconds": 0.05, "times": 20},
    ]
    names = ["p1", "p2", "p3", "p4"]
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, name, "8"],
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for caller in callers:
        _, errors = caller.communicate(timeout=120)
        assert caller.returncode == 0, errors
    settle(alerting_node)
    for name in names:
        own = [event for event in pagerduty.events if event["dedup_key"] == name]
        expected = [word for number in range(8) for word in (f"t:{name} {number}", f"r:{name}")]
        assert summaries(own) == expected
    assert len(pagerduty.events) == 64
    assert pagerduty.open == {}


def test_several_threads_at_once(pagerduty, alerting_node):
    outcomes = []

    def call(name):
        outcomes.extend(trigger(f"{name} {number}", dedup_key=name).state for number in range(5))

    threads = [threading.Thread(target=call, args=[name]) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["sent"] * 15
    assert pagerduty.open == {"a": 5, "b": 5, "c": 5}
    for name in "abc":
        own = [event for event in pagerduty.events if event["dedup_key"] == name]
        assert summaries(own) == [f"t:{name} {number}" for number in range(5)]
    assert alerting_node.files == []
