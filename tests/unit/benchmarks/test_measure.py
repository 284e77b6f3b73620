# SPDX-License-Identifier: GPL-3.0-or-later
import contextlib
import json
import os
import subprocess
import sys

import pytest
from bench_testing import CLEAN, make_run

from benchmarks import measure, memory

RUN = make_run(spans=[("P", "r", "write | Write", 1.0)])


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder for logs in the place of the checkout's own."""
    monkeypatch.setattr(measure, "LAB", tmp_path)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    return tmp_path


def test_what_the_callback_wrote_is_read():
    span = {"play": "P", "role": "", "task": "T", "seconds": 1.5, "results": 4, "changed": 1}
    run = measure.parse_run(2.0, json.dumps({"spans": [span], "recap": {"a": CLEAN}}), 0.7)
    assert run.spans == [measure.Span("P", "", "T", 1.5, 4, 1)]
    assert run.recap["a"]["ok"] == 5
    assert run.start_and_end == 0.5
    assert run.cpu_seconds == 0.7


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_that_did_what_is_measured_is_taken(changed):
    run = make_run(recap={host: CLEAN | {"changed": int(changed)} for host in "ab"})
    measure.refuse_bad_recap(run, {"a", "b"}, changed=changed)


@pytest.mark.parametrize("bad", ["failures", "unreachable"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_run_that_failed_is_refused(bad, changed):
    run = make_run(recap={"a": CLEAN | {"changed": int(changed)}, "b": CLEAN | {bad: 2}})
    with pytest.raises(measure.BenchError, match=f"b has {{'{bad}': 2}}"):
        measure.refuse_bad_recap(run, {"a", "b"}, changed=changed)


@pytest.mark.parametrize(
    ("expected", "counts", "words"),
    [
        pytest.param(False, 2, "should have changed nothing, but b has 'changed': 2", id="changed"),
        pytest.param(True, 0, "should have changed every node, but b has", id="not-changed"),
    ],
)
def test_a_run_that_did_something_else_is_refused(expected, counts, words):
    recap = {"a": CLEAN | {"changed": int(expected)}, "b": CLEAN | {"changed": counts}}
    with pytest.raises(measure.BenchError, match=words):
        measure.refuse_bad_recap(make_run(recap=recap), {"a", "b"}, changed=expected)


def test_a_refusal_names_the_tasks_that_changed():
    span = measure.Span("P", "r", "write | Write", 1.0, results=1, changed=1)
    run = measure.Run(1.0, [span], {"a": CLEAN | {"changed": 1}})
    with pytest.raises(measure.BenchError, match=r"changed: \['write \| Write'\]"):
        measure.refuse_bad_recap(run, {"a"}, changed=False)


@pytest.mark.parametrize("pinged", [set(), {"a"}, {"a", "b", "c"}])
def test_a_run_on_other_nodes_is_refused(pinged):
    with pytest.raises(measure.BenchError, match="different nodes"):
        measure.refuse_bad_recap(RUN, pinged, changed=False)


def test_a_command_is_timed_and_its_output_kept(lab):
    ended = measure.run(
        "try", sys.executable, "-c", "import os; print(os.environ['WORD'] * 2)", WORD="ab"
    )
    assert ended.output == "abab\n"
    assert (lab / "log/bench-try.log").read_text() == "abab\n"
    assert ended.cpu_seconds > 0
    assert ended.seconds > 0


def test_a_command_that_fails_shows_its_end(lab):
    with pytest.raises(
        measure.BenchError, match=r"(?s)^try ended with 3; .*bench-try.log:\nno\n?$"
    ):
        measure.run("try", sys.executable, "-c", "print('no'); raise SystemExit(3)")
    assert (lab / "log/bench-try.log").exists()


def test_the_most_memory_of_a_run_is_seen(lab):
    """It is large until it has been seen, so nothing here depends on the time it takes."""
    child = "import sys; big = bytearray(40 << 20); print('big', flush=True); sys.stdin.read()"
    program = f"""
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
child.stdout.readline()
while not pathlib.Path({str(lab / "seen")!r}).exists():
    pass
child.communicate()
"""

    class Seen(memory.PeakMemory):
        def watch(self, pid):
            super().watch(pid)
            while self.together < 40 << 20:
                self.ended.wait(0.01)
            (lab / "seen").touch()

    peak = Seen(every=0.01)
    measure.run("try", sys.executable, "-c", program, watch=peak)
    assert peak.largest > 40 << 20
    assert peak.together > 40 << 20
    assert not peak.is_alive()


def test_descendants_are_found_over_several_generations():
    parent_of = {1: 0, 2: 1, 3: 2, 4: 3, 5: 1, 9: 0}
    assert memory.with_descendants(2, parent_of) == {2, 3, 4}


def test_the_processes_of_this_machine_are_seen():
    assert memory.parents()[os.getpid()] == os.getppid()
    assert memory.proportional_bytes(os.getpid()) > 1 << 20
    assert memory.proportional_bytes(2**22 + 1) == 0


def test_a_quick_command_gives_its_output_or_its_reason():
    assert measure.output_of("It", "cat", stdin="text") == "text"
    with pytest.raises(measure.BenchError, match=r"^It failed: no way$"):
        measure.output_of("It", "sh", "-c", "echo no way >&2; exit 1", stdin="")


def test_a_cluster_that_is_there_is_left_alone(lab, monkeypatch):
    monkeypatch.setattr(measure, "run", lambda *_, **__: pytest.fail("it was touched"))
    (lab / "bench").mkdir()
    with (
        pytest.raises(measure.BenchError, match="scripts/nodes destroy --cluster bench"),
        measure.removed_at_the_end("bench"),
    ):
        pytest.fail("it was used")


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, measure.BenchError])
@pytest.mark.usefixtures("lab")
def test_a_cluster_is_removed_however_the_block_ends(monkeypatch, error):
    monkeypatch.setattr(measure, "capture", lambda *_: "")
    ran = []
    monkeypatch.setattr(measure, "run", lambda label, *argv: ran.append((label, *argv)))
    with (
        pytest.raises(error) if error else contextlib.nullcontext(),
        measure.removed_at_the_end("bench"),
    ):
        if error:
            raise error
    assert ran == [("destroy", "scripts/nodes", "destroy", "--cluster", "bench")]


def test_a_checkout_is_a_commit_unless_something_else_is_in_it(lab):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *words], cwd=lab, check=True, capture_output=True)

    (lab / "benchmarks").mkdir()
    readme = lab / "benchmarks/README.md"
    assert measure.is_dirty(), "no repository"
    git("init")
    assert measure.is_dirty(), "no commit"
    for path in (readme, lab / "code"):
        path.write_text("old")
    git("add", ".")
    git("commit", "-m", "x")
    assert not measure.is_dirty()
    readme.write_text("figures that were entered")
    assert not measure.is_dirty()
    (lab / "code").write_text("new")
    assert measure.is_dirty()
    git("commit", "-am", "y")
    (lab / "more").touch()
    assert measure.is_dirty(), "a file that git does not know"
