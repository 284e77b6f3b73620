# SPDX-License-Identifier: GPL-3.0-or-later
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
import yaml

from benchmarks import (
    dag_sync,
    dag_sync_commands,
    dag_sync_node,
    dag_sync_reads,
    dag_sync_repository,
    dag_sync_steps,
    measure,
)
from benchmarks.dag_sync_steps import Command
from benchmarks.turns import WrongMeasureError, in_turns

SSH = "ssh -F /dev/null -oBatchMode=yes"
TICKS = {
    "seconds": {
        "ls-remote": [0.1, 0.2, 1.0],
        "tick": [0.14, 0.24, 3.0],
        "python": [0.02, 0.01, 0.03],
    },
    "inodes": 1547,
    "written": [],
    "excepted": ".airflow-git-dir/last_success",
    "steps": [
        {"itself, before git ls-remote": 0.08, "git ls-remote": 0.1, "itself, before the end": 0.01}
    ],
    "imports_ms": [["argparse", 9.5], *(["m", 1.0],) * 20],
}  # fmt: skip
PUBLISH = {
    "seconds": {
        "by hand": [0.5, 1.0, 0.4],
        "gate off": [0.7, 1.6, 0.4],
        "gate on": [0.8, 1.5, 0.8],
    },
    "steps": [{"git fetch": 0.3, "gate": 0.1}],
    "disk": {"files": 1500, "apparent": 2 * 2**20, "real": 6 * 2**20, "all": 2**25, "releases": 5},
}
LARGE = {
    "first": [{"git read-tree": 4.0, "gate": 14.0, "sync": 0.02, "git gc": 0.01}],
    "changed": [{"git read-tree": 4.0, "gate": 0.2}],
    "seconds": {"ls-remote": [0.1], "tick": [0.3]},
}
READS = {
    "seconds": 41.5,
    "publications": 80,
    "pinned": 100_000,
    "pinned_torn": 0,
    "unpinned": 25_000,
    "unpinned_torn": 17,
}


@pytest.fixture
def figures():
    return dag_sync.Figures(TICKS, PUBLISH, LARGE, READS)


# The report


def test_figures_are_medians_of_the_ratios_of_rounds(figures):
    assert figures.values() == pytest.approx(
        {"tick": 1.4, "written": 0, "gate_off": 1.4, "gate_on": 1.6, "torn": 0}
    )


def test_the_report_has_every_figure_and_every_run(figures):
    report = dag_sync.report(figures)
    assert {name: one.value for name, one in report.figures.items()} == figures.values()
    assert "| tick | 240.0 | 140.0 | 3,000.0 | 3 | 1.40 |" in report.text
    assert "Written by the ticks: nothing, of 1,547 inodes" in report.text
    assert "Excepted is the time of `.airflow-git-dir/last_success`" in report.text
    assert "| argparse | 9.5 |" in report.text
    assert "| gate off | 700.0 | 400.0 | 1,600.0 | 3 | 1.40 |" in report.text
    assert "80 publications in 42 s" in report.text
    assert "| through the link itself | 25000 | 17 |" in report.text
    assert "One more release of 1,500 files takes 6.0 MiB on the disk (2.0 MiB" in report.text
    assert not report.quick
    assert report.raw["ticks"]["seconds"]["tick"] == [0.14, 0.24, 3.0]
    assert json.loads(json.dumps(report.raw)) == report.raw


def test_what_was_written_is_named():
    figures = dag_sync.Figures(TICKS | {"written": ["a", "b/c"]}, PUBLISH, LARGE, READS)
    report = dag_sync.report(figures, quick=True)
    assert "Written by the ticks: `a`, `b/c`, of" in report.text
    assert not report.figures["written"].met
    assert report.quick


def test_steps_add_up_and_small_ones_are_one_row():
    table = dag_sync.steps_table("step", [{"fetch": 1.0, "gate": 0.98, "a": 0.015, "b": 0.005}])
    assert table.splitlines()[2:] == [
        "| fetch | 1,000.0 | 50% |",
        "| gate | 980.0 | 49% |",
        "| 2 smaller ones | 20.0 | 1% |",
        "| all | 2,000.0 | 100% |",
    ]


def test_the_begin_of_a_tick_is_divided():
    assert dag_sync.tick_parts(TICKS) == {
        "python's start and end": 0.02,
        "imports, settings": pytest.approx(0.06),
        "git ls-remote": 0.1,
        "itself, before the end": 0.01,
    }


def test_reads_that_met_no_publication_are_refused():
    dag_sync.refuse_blunt_reads(READS)
    with pytest.raises(measure.BenchError, match=r"prove nothing.*80 in 42 s"):
        dag_sync.refuse_blunt_reads(READS | {"unpinned_torn": 0})


@pytest.mark.parametrize("quick", [False, True])
def test_a_stage_is_run_in_the_node(monkeypatch, quick):
    given = []

    def run(*words):
        given.extend(words)
        return measure.Ended(1.0, 0.1, 'Warning: something\n{"files": {"small": 3}}\n')

    monkeypatch.setattr(measure, "run", run)
    assert dag_sync.Machine().stage("set_up", quick=quick) == {"files": {"small": 3}}
    assert given[0] == "set-up"
    assert ("--quick" in given) == quick


# The driver in the node


def test_what_is_copied_to_the_node_needs_nothing_else(tmp_path):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for file in dag_sync.ON_THE_NODE:
        shutil.copy(file, folder)
    for name in (dag_sync_node.__name__, dag_sync_reads.__name__):
        subprocess.run(
            [sys.executable, "-S", "-c", f"import {name}"], check=True, cwd="/",
            env={"PYTHONPATH": str(tmp_path)},
        )  # fmt: skip


def test_the_settings_are_those_that_the_program_takes(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(dag_sync_node.settings(str(tmp_path / "x"), "/srv/x", gate=False)))
    # It looks for the account next, which a node has and this machine need not have.
    command = [sys.executable, "-IS", dag_sync.PROGRAM, "--settings", file, "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    problem = done.stderr.strip()
    assert (
        done.returncode == 0 or problem == "failed: 'user' airflow: this host has no such account"
    )


def test_files_are_what_the_gate_accepts():
    paths = set()
    for number in range(40):
        path, content = dag_sync_repository.file_of(number, mark=3)
        paths.add(path)
        if path.endswith(".py"):
            compile(content, path, "exec")
        else:
            assert path.startswith("configs/")
            assert yaml.safe_load(content)["source"] == f"source_{number}"
        assert "revision 3" in content
        assert content != dag_sync_repository.file_of(number, mark=4)[1]
    assert len(paths) == 40


def test_commits_are_what_git_reads(tmp_path):
    def git(*arguments, stdin=b""):
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, input=stdin, check=True, capture_output=True
        ).stdout.decode()  # fmt: skip

    git("init", "--quiet", "--bare", "--initial-branch=main")
    files = [dag_sync_repository.file_of(number) for number in range(10)]
    streams = [
        dag_sync_repository.commit_stream(0, files, first=True),
        dag_sync_repository.commit_stream(1, [dag_sync_repository.file_of(7, mark=1)], first=False),
    ]
    for stream in streams:
        git("fast-import", "--quiet", stdin=stream)
    assert git("log", "--format=%s", "main").split() == ["1", "0"]
    changed, content = dag_sync_repository.file_of(7, mark=1)
    assert git("diff", "--name-only", "main~1", "main").split() == [changed]
    assert git("show", f"main:{changed}") == content
    assert len(git("ls-tree", "-r", "--name-only", "main").split()) == 10


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("git", ["-c", "core.hooksPath=/dev/null", "-ca.b=c", "fetch", "--quiet"], "git fetch"),
        ("git", ["-C", "/srv", "--no-pager", "ls-remote", "--", "ssh://x"], "git ls-remote"),
        ("git", ["--version"], "git"),
        ("sync", ["--file-system", "/srv"], "sync"),
        ("gate", ["-I", "-B", "x.py"], "gate"),
    ],
)
def test_a_command_is_called_by_what_it_does(name, arguments, expected):
    assert dag_sync_steps.label(name, arguments) == expected


def test_what_the_wrapper_notes_is_read_again(tmp_path):
    log, wrapper = tmp_path / "log", tmp_path / "git"
    script = dag_sync_steps.WRAPPER.format(real="/bin/false", name="git", log=log)
    wrapper.write_text(script)
    wrapper.chmod(0o755)
    for arguments in (["-c", "a=", "ls-remote", "two\nlines", ""], ["fetch"]):
        done = subprocess.run([wrapper, *arguments], env={"GIT_SSH_COMMAND": SSH}, check=False)
        assert done.returncode == 1
    commands = dag_sync_steps.parse_log(log.read_text())
    assert [command.label for command in commands] == ["git ls-remote", "git fetch"]
    assert dag_sync_steps.transport_of(commands) == SSH
    first, second = commands
    assert 0 < first.begin <= first.end <= second.begin <= second.end


def test_another_transport_than_ssh_is_refused():
    asked = Command(0, 1, "git", "", ["ls-remote"])
    other = Command(0, 1, "git", SSH, ["rev-parse"])
    with pytest.raises(WrongMeasureError, match="did not ask the server with git over ssh"):
        dag_sync_steps.transport_of([asked, other])


def test_a_run_is_divided_without_gaps():
    commands = [
        Command(1.0, 2.0, "git", SSH, ["ls-remote"]),
        Command(2.5, 4.0, "git", SSH, ["fetch"]),
        Command(3.0, 5.0, "sync", "", []),  # begins during the one before
        Command(5.0, 5.5, "git", SSH, ["fetch"]),
    ]
    steps = dag_sync_steps.divide(0.5, 6.0, commands)
    assert steps == {
        "itself, before git ls-remote": 0.5,
        "git ls-remote": 1.0,
        "itself, before git fetch": 0.5,
        "git fetch": 2.0,
        "sync": 1.0,
        "itself, before the end": 0.5,
    }
    assert sum(steps.values()) == 5.5


def test_steps_of_runs_are_medians_in_order():
    runs = [{"a": 1.0, "c": 5.0}, {"a": 3.0, "b": 1.0, "c": 2.0}, {"a": 2.0, "b": 2.0, "c": 9.0}]
    steps = dag_sync_steps.median_steps(runs)
    assert list(steps.items()) == [("a", 2.0), ("b", 1.0), ("c", 5.0)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda _: None, [], id="nothing"),
        pytest.param(lambda home: (home / "a").read_text(), [], id="read"),
        pytest.param(lambda home: (home / "lock").open("a").close(), [], id="opened-to-append"),
        pytest.param(lambda home: os.utime(home / "a"), ["a"], id="touched"),
        pytest.param(lambda home: (home / "a").chmod(0o600), ["a"], id="mode"),
        pytest.param(lambda home: (home / "d/new").touch(), ["d", "d/new"], id="made"),
        pytest.param(lambda home: (home / "d/b").unlink(), ["d", "d/b"], id="removed"),
        pytest.param(
            lambda home: ((home / "t").touch(), (home / "t").unlink()), ["."], id="made-and-removed"
        ),
        pytest.param(
            lambda home: ((home / "l").unlink(), (home / "l").symlink_to("a")), [".", "l"],
            id="same-link-anew",
        ),
    ],
)  # fmt: skip
def test_every_write_is_seen(tmp_path, change, expected):
    (tmp_path / "d").mkdir()
    for name in ("a", "lock", "d/b"):
        (tmp_path / name).write_text("text")
    (tmp_path / "l").symlink_to("d")
    for path in (tmp_path / "a", tmp_path / "d/b", tmp_path / "d", tmp_path):
        os.utime(path, (1, 1))
    before = dag_sync_node.look(tmp_path)
    assert set(before) == {".", "a", "lock", "l", "d", "d/b"}
    change(tmp_path)
    changed = dag_sync_node.written(before, dag_sync_node.look(tmp_path))
    # The number of a removed inode may be given to the next one, with other times.
    assert changed == expected


def test_each_way_is_the_first_in_turn():
    turns = [in_turns(["a", "b", "c"], number) for number in range(4)]
    assert turns == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_imports_are_those_of_the_program_itself():
    text = """\
import time: self [us] | cumulative | imported package
import time:        74 |         74 |     _functools
import time:      1293 |      12538 | argparse
import time:        89 |         89 | errno
published
import time:       309 |       2161 | json
"""
    assert dag_sync_node.import_times(text) == [
        ("argparse", 12.538),
        ("json", 2.161),
        ("errno", 0.089),
    ]


@pytest.fixture
def published(tmp_path):
    """Releases with marks, and a link to the first."""
    for mark in (1, 2):
        for number in range(dag_sync_repository.READ):
            path, content = dag_sync_repository.marked_file(number, mark)
            file = tmp_path / f"release{mark}" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    link = tmp_path / "link"
    link.symlink_to("release1")
    return link


def flip(link, target):
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


def test_a_read_that_a_publication_meets_is_torn(published):
    assert dag_sync_reads.read_marks(str(published)) == {"1\n"}
    path, content = dag_sync_repository.marked_file(7, 2)
    (published / path).write_text(content)
    assert dag_sync_reads.read_marks(str(published)) == {"1\n", "2\n"}
    (published / path).unlink()
    assert dag_sync_reads.read_marks(str(published)) == {"1\n", "missing"}


def is_free(release):
    """Tell whether a release could be removed: the program takes its lock to do that."""
    descriptor = os.open(release, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_pinned_reader_stays_on_its_release_and_holds_it(published):
    with dag_sync_reads.pinned(str(published)) as path:
        flip(published, "release2")
        assert dag_sync_reads.read_marks(path) == {"1\n"}
        assert not is_free(path)
    assert is_free(path)
    with dag_sync_reads.pinned(str(published)) as path:
        assert dag_sync_reads.read_marks(path) == {"2\n"}


def test_torn_reads_are_counted(published, monkeypatch):
    monkeypatch.setattr(dag_sync_reads, "UNPINNED_EVERY", 2)
    whole = {"pinned": 4, "pinned_torn": 0, "unpinned": 2, "unpinned_torn": 0, "releases": 1}
    assert dag_sync_reads.read(str(published), 4) == whole
    path, content = dag_sync_repository.marked_file(7, 2)
    (published / path).write_text(content)
    torn = whole | {"pinned_torn": 4, "unpinned_torn": 2, "releases": 2}
    assert dag_sync_reads.read(str(published), 4) == torn


def test_flips_do_not_tear_pinned_reads(published):
    ended = threading.Event()

    def publish():
        while not ended.is_set():
            for target in ("release2", "release1"):
                flip(published, target)

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        counts = dag_sync_reads.read(str(published), 100)
    finally:
        ended.set()
        publisher.join()
    assert counts["pinned"] == 100
    assert counts["pinned_torn"] == 0


def test_what_ends_badly_is_no_measure(monkeypatch):
    monkeypatch.setattr(dag_sync_commands, "as_account", lambda _: {})
    with pytest.raises(WrongMeasureError, match=r"ended with 3: why"):
        dag_sync_commands.run_as("airflow", ["/bin/sh", "-c", "echo why >&2; exit 3"], {})


@pytest.mark.parametrize(
    ("code", "target", "refused"),
    [(4, "good", False), (0, "bad", True), (4, "bad", True), (2, "good", True)],
)
def test_a_gate_that_lets_a_broken_file_pass_is_refused(
    monkeypatch, tmp_path, code, target, refused
):
    class Node:
        link = tmp_path / "link"

        def command(self):
            return ["/bin/sh", "-c", f"exit {code}"]

    Node.link.symlink_to(target)
    monkeypatch.setattr(dag_sync_node, "as_account", lambda _: {})
    if refused:
        with pytest.raises(WrongMeasureError, match=f"a broken file passed .* ended with {code}"):
            dag_sync_node.refuse_without_gate(Node(), "bad")
    else:
        dag_sync_node.refuse_without_gate(Node(), "bad")
