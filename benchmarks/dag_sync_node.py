# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of dag_sync does inside its node: it takes the figures there.

Copied into the node and run by root, once for each stage; the last line of its output is JSON. So
no figure has the way into the node in it. Standard library only.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pwd
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ACCOUNT, SERVER = "airflow", "git"
HOME, SERVED, PLACE = Path("/home/airflow"), Path("/srv/git"), Path("/etc/airflow")
PROGRAM = Path("/usr/local/bin/airflow-dag-sync")
WRAPPERS = Path("/usr/local/lib/bench-dag-sync")
# The gate's interpreter: the system's, or its wrapper. Of another path all would be checked anew.
GATE = Path("/usr/local/lib/bench-dag-sync-gate/python3")
GIT, PYTHON = "/usr/bin/git", "/usr/bin/python3"
PATH = "/usr/local/bin:/usr/bin:/bin"
LINK = "airflow-git-dir"
# What a tick may change: the time of this file says when the last one succeeded.
EXCEPTED = f".{LINK}/last_success"
BLOCKED = 4

SMALL, LARGE, MARKED = "small", "large", "marked"
FILES = {SMALL: 1_500, LARGE: 20_000, MARKED: 60}
READ = 30  # Files to a read; in the repository of marks, each commit changes all of them.
READERS = 2
UNPINNED_EVERY = 4

PY = '''"""Load number {number} of the night; revision {mark}."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from airflow.sdk import DAG, task

log = logging.getLogger(__name__)
SOURCE = "source_{number}"
COLUMNS = {{"id": int, "name": str, "amount": float, "day": datetime.date}}


class RowError(ValueError):
    """A row that cannot be loaded."""


def parse(line: str, separator: str = ";") -> dict[str, object]:
    """Return the values of a line by column."""
    values = line.rstrip("\\n").split(separator)
    if len(values) != len(COLUMNS):
        raise RowError(f"{{len(values)}} values, {{len(COLUMNS)}} columns: {{line!r}}")
    return {{name: value for name, value in zip(COLUMNS, values, strict=True)}}


def rows(path: Path) -> list[dict[str, object]]:
    """Return the rows of a file; what cannot be read is logged."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(parse(line))
        except RowError as error:
            log.warning("%s, line %d: %s", path, number, error)
    return found


with DAG("load_{number}", schedule="@daily", start_date=datetime.datetime(2026, 1, 1)):

    @task
    def extract(day: str) -> list[dict[str, object]]:
        """Read what arrived that day."""
        return rows(Path("/srv/arrived", SOURCE, f"{{day}}.csv"))

    @task
    def transform(found: list[dict[str, object]]) -> dict[str, float]:
        """Add up by name."""
        sums: dict[str, float] = {{}}
        for row in found:
            sums[str(row["name"])] = sums.get(str(row["name"]), 0.0) + float(str(row["amount"]))
        return sums

    @task
    def load(sums: dict[str, float]) -> int:
        """Say what was loaded."""
        log.info("%s: %d names, %.2f in all", SOURCE, len(sums), sum(sums.values()))
        return len(sums)

    load(transform(extract("{{{{ ds }}}}")))
'''
YAML = """---
# Settings of load number {number}, revision {mark}
source: source_{number}
target: {{schema: night, table: load_{number}, mode: append}}
schedule: "{minute} 2 * * *"
retries: 3
owners: [etl, reporting]
columns:
  - {{name: id, type: integer, key: true}}
  - {{name: name, type: text, length: 120}}
  - {{name: amount, type: decimal, digits: [12, 2]}}
  - {{name: day, type: date, format: "%Y-%m-%d"}}
checks:
  rows_at_least: {number}
  late_after_minutes: 45
description: >-
  The rows that arrive over night,
  added up by name.
"""


class WrongMeasureError(Exception):
    """What was run is not what is to be measured."""


# Repositories


def file_of(number: int, mark: int = 0) -> tuple[str, str]:
    """Return path and content of a file: four of five are DAGs, the others configs."""
    team = f"team_{number % 20:02}"
    if number % 5 == 4:
        content = YAML.format(number=number, mark=mark, minute=number % 60)
        return f"configs/{team}/load_{number:05}.yaml", content
    return f"dags/{team}/load_{number:05}.py", PY.format(number=number, mark=mark)


def marked_file(number: int, mark: int) -> tuple[str, str]:
    """Return path and content of a file that says of which commit it is."""
    return f"marks/part_{number % 6}/mark_{number:02}.txt", f"{mark}\n"


def commit_stream(number: int, files: Iterable[tuple[str, str]], *, first: bool) -> bytes:
    """Return a commit as `git fast-import` reads it."""
    begin = (
        f"commit refs/heads/main\ncommitter bench <bench@example.org> {1_700_000_000 + number}"
        f" +0000\ndata {len(str(number))}\n{number}\n"
    )
    parts = [begin.encode(), b"" if first else b"from refs/heads/main^0\n"]
    for path, content in files:
        data = content.encode()
        parts.append(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
    return b"".join(parts)


class Repository:
    """A bare repository on the server, and commits to it."""

    def __init__(self, name: str) -> None:
        """Take the repository, which need not exist yet."""
        self.path = SERVED / f"{name}.git"
        self.url = f"ssh://{SERVER}@127.0.0.1{self.path}"

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git as the account that serves."""
        command = [GIT, *arguments]
        environment = {"PATH": PATH, "HOME": str(SERVED), "GIT_DIR": str(self.path)}
        return run_as(SERVER, command, environment, stdin).strip()

    def make(self, files: Iterable[tuple[str, str]]) -> str:
        """Make it, with a first commit."""
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.path))
        return self.push(0, files, first=True)

    def push(self, number: int, files: Iterable[tuple[str, str]], *, first: bool = False) -> str:
        """Commit these files, and return the commit."""
        stream = commit_stream(number, files, first=first)
        self.git("fast-import", "--quiet", stdin=stream)
        return self.git("rev-parse", "refs/heads/main")


# Commands


def as_account(name: str) -> dict[str, Any]:
    """Return what makes a process that account's."""
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def run_as(
    account: str, command: Sequence[str], environment: Mapping[str, str], stdin: bytes = b""
) -> str:
    """Run a command that has to end well, and return what it printed."""
    done = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, check=False,
        **as_account(account),
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-500:]
        raise WrongMeasureError(f"{shlex.join(command)[:200]} ended with {done.returncode}: {said}")
    return done.stdout.decode()


def timed(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return how long a command of the account took."""
    began = time.perf_counter()
    run_as(ACCOUNT, command, environment)
    return time.perf_counter() - began


class Node:
    """A link with its releases and settings: as many of them as are to be compared."""

    def __init__(self, name: str, repository: Repository, *, gate: bool, **other: Any) -> None:
        """Name the paths, and write the settings."""
        self.home = HOME / name
        self.link = self.home / LINK
        self.repository = repository
        self.settings_file = PLACE / f"{name}.json"
        values = settings(str(self.link), repository.url, gate=gate) | other
        self.settings_file.write_text(json.dumps(values))
        if not self.home.exists():
            self.home.mkdir()
            shutil.chown(self.home, ACCOUNT, ACCOUNT)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [str(PROGRAM), "--settings", str(self.settings_file), *arguments]

    def publish(self, sha: str, environment: Mapping[str, str]) -> float:
        """Publish what the ref is now, and refuse anything else."""
        seconds = timed(self.command(), environment)
        if self.link.readlink().name != sha:
            raise WrongMeasureError(f"{self.link} has another commit than {sha}")
        return seconds

    def tick(self, environment: Mapping[str, str]) -> float:
        """Run it as cron does, and refuse a run that did not come to its end."""
        before = (self.home / EXCEPTED).stat().st_mtime_ns
        seconds = timed(self.command("--splay"), environment)
        if (self.home / EXCEPTED).stat().st_mtime_ns <= before:
            raise WrongMeasureError("a tick ended well without a success: was another at work?")
        return seconds


def settings(link: str, url: str, *, gate: bool) -> dict[str, Any]:
    """Return what the role writes with its defaults, but for what is off."""
    return {
        "repository": url,
        "ref": "main",
        "user": ACCOUNT,
        "link": link,
        "private_key": str(PLACE / "id"),
        "known_hosts": str(PLACE / "known_hosts"),
        "gate_python": str(GATE) if gate else "",
        "gate_exclude": ["tests/*"],
        "splay_seconds": 0,
        "timeout_seconds": 600,
        "keep_releases": 5,
        "keep_days": 7,
    }


# As cron gives it to a command.
PLAIN = {"PATH": PATH, "HOME": str(HOME), "LOGNAME": ACCOUNT, "SHELL": "/bin/sh"}


# Steps: commands on the way are wrapped, and note when they begin and end

# bash knows the time without starting anything.
WRAPPER = """#!/bin/bash
begin=$EPOCHREALTIME
{real} "$@"
code=$?
printf '%s\\0' "$begin" "$EPOCHREALTIME" "{name}" "${{GIT_SSH_COMMAND:-}}" "$#" "$@" >>{log}
exit $code
"""
LOG = Path("/tmp/bench-dag-sync.log")  # noqa: S108 - the node is ours alone
WRAPPED = {**PLAIN, "PATH": f"{WRAPPERS}:{PATH}"}


def write_wrappers() -> None:
    """Write a wrapper for each command that is a step."""
    WRAPPERS.mkdir()
    GATE.parent.mkdir()
    GATE.symlink_to(PYTHON)
    for name, real in (("git", GIT), ("sync", "/usr/bin/sync"), ("gate", PYTHON)):
        wrapper = WRAPPERS / name
        wrapper.write_text(WRAPPER.format(real=real, name=name, log=LOG))
        wrapper.chmod(0o755)


class Command:
    """A wrapped command that ran."""

    def __init__(
        self, begin: float, end: float, name: str, ssh: str, arguments: Sequence[str]
    ) -> None:
        """Take what the wrapper noted."""
        self.begin = begin
        self.end = end
        self.label = label(name, arguments)
        self.ssh = ssh


def label(name: str, arguments: Sequence[str]) -> str:
    """Return how a command is called in the figures: of git, the subcommand belongs to it."""
    if name != "git":
        return name
    words = iter(arguments)
    for word in words:
        if word in ("-c", "-C"):
            next(words, None)
        elif not word.startswith("-"):
            return f"git {word}"
    return "git"


def parse_log(text: str) -> list[Command]:
    """Return the commands that were noted, by their begin."""
    words = iter(text.split("\0")[:-1])
    found = []
    for begin in words:
        end, name, ssh, count = next(words), next(words), next(words), int(next(words))
        arguments = [next(words) for _ in range(count)]
        found.append(Command(float(begin), float(end), name, ssh, arguments))
    return sorted(found, key=lambda command: command.begin)


ITSELF = "itself, before "
END = "the end"


def divide(begin: float, end: float, commands: Sequence[Command]) -> dict[str, float]:
    """Divide a run into steps that add up to it: the commands, and the program between them."""
    steps: dict[str, float] = {}

    def add(name: str, until: float) -> None:
        nonlocal begin
        steps[name] = steps.get(name, 0.0) + max(0.0, until - begin)
        begin = max(begin, until)

    for command in commands:
        add(ITSELF + command.label, command.begin)
        add(command.label, command.end)
    add(ITSELF + END, end)
    return {name: seconds for name, seconds in steps.items() if seconds}


def point_gate_at(real: Path) -> None:
    """Have the gate's interpreter be this one."""
    GATE.unlink()
    GATE.symlink_to(real)


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], list[Command]]]:
    """Have the wrappers note what runs; the function returns it."""
    LOG.unlink(missing_ok=True)
    LOG.touch(mode=0o600)
    shutil.chown(LOG, ACCOUNT)
    point_gate_at(WRAPPERS / "gate")
    try:
        yield lambda: parse_log(LOG.read_text())
    finally:
        point_gate_at(Path(PYTHON))
        LOG.unlink()


def by_step(run: Callable[[Mapping[str, str]], float]) -> dict[str, float]:
    """Run something with wrapped commands, and return its seconds by step."""
    with noted() as commands:
        begin = time.time()
        run(WRAPPED)
        return divide(begin, time.time(), commands())


def median_steps(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each step, in the order of the run that has most of them."""
    names = list(max(runs, key=len))
    names += [name for run in runs for name in run if name not in names]
    return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in names}


def transport_of(commands: Sequence[Command]) -> str:
    """Return the ssh command with which the program asked the server."""
    for command in commands:
        if command.label in ("git ls-remote", "git fetch") and command.ssh:
            return command.ssh
    raise WrongMeasureError("the program did not ask the server with git over ssh")


# What is below a directory

Inode = tuple[int, ...]


def look(directory: Path) -> dict[str, Inode]:
    """Return of all that is below a directory, itself included, what a write would change."""
    found = {}
    for folder, names, files in os.walk(directory):
        for name in (".", *names, *files):
            path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 - of thousands of files
            of = os.lstat(path)
            found[os.path.relpath(path, directory)] = (
                of.st_ino, of.st_mode, of.st_uid, of.st_gid, of.st_nlink, of.st_size,
                of.st_mtime_ns, of.st_ctime_ns,
            )  # fmt: skip
    return found


def written(before: Mapping[str, Inode], after: Mapping[str, Inode]) -> list[str]:
    """Return what was made, removed or changed."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


# Stages


def in_turns(names: Sequence[str], round_number: int) -> list[str]:
    """Return the order of a round: each time another one is the first."""
    first = round_number % len(names)
    return [*names[first:], *names[:first]]


def import_times(text: str) -> list[tuple[str, float]]:
    """Return the modules that a program itself imports, the dearest first, in milliseconds."""
    found = []
    for line in text.splitlines():
        if line.startswith("import time:") and not line.endswith("imported package"):
            _, cumulative, name = line.removeprefix("import time:").split("|")
            if not name.startswith("  "):
                found.append((name.strip(), int(cumulative) / 1000))
    return sorted(found, key=lambda module: -module[1])


def set_up() -> dict[str, Any]:
    """Make the repositories and publish each once."""
    write_wrappers()
    for name, count in FILES.items():
        files = [file_of(number) for number in range(count - READ * (name == MARKED))]
        if name == MARKED:
            files += [marked_file(number, 0) for number in range(READ)]
        Repository(name).make(files)
    return {"files": FILES}


def ticks(rounds: int) -> dict[str, Any]:
    """Compare a tick without news to a bare ls-remote, and see what it writes."""
    repository = Repository(SMALL)
    node = Node("tick", repository, gate=True)
    node.publish(repository.git("rev-parse", "refs/heads/main"), PLAIN)
    with noted() as commands:
        node.tick(WRAPPED)  # May write that the news is published.
        ssh = transport_of(commands())
    bare = [GIT, "ls-remote", "--", repository.url, "refs/heads/main"]
    with_ssh = PLAIN | {"GIT_SSH_COMMAND": ssh, "GIT_SSH_VARIANT": "ssh"}
    interpreter = shlex.split(PROGRAM.read_text().splitlines()[0].removeprefix("#!"))
    ways: dict[str, Callable[[], float]] = {
        "ls-remote": lambda: timed(bare, with_ssh),
        "tick": lambda: node.tick(PLAIN),
        "python": lambda: timed([*interpreter, "-c", "pass"], PLAIN),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    before = look(node.home)
    for number in range(rounds):
        for name in in_turns(list(ways), number):
            taken[name].append(ways[name]())
    changed = written(before, look(node.home))
    steps = [by_step(node.tick) for _ in range(max(3, rounds // 4))]
    command = [*interpreter, "-X", "importtime", *node.command("--splay")]
    imports = subprocess.run(
        command, env=PLAIN, capture_output=True, text=True, check=True, **as_account(ACCOUNT)
    ).stderr
    return {
        "seconds": taken,
        "inodes": len(before),
        "written": [path for path in changed if path != EXCEPTED],
        "excepted": EXCEPTED,
        "steps": steps,
        "imports_ms": import_times(imports),
    }


BY_HAND = """
set -e
git -C "$1/repository.git" fetch --quiet origin main
git -C "$1/repository.git" worktree add --quiet --detach "$1/$2" FETCH_HEAD
"""


def publish(rounds: int) -> dict[str, Any]:
    """Compare the publication of one changed file to fetch and worktree by hand."""
    repository = Repository(SMALL)
    nodes = {gate: Node(f"gate_{gate}", repository, gate=gate == "on") for gate in ("off", "on")}
    sha = repository.git("rev-parse", "refs/heads/main")
    with noted() as commands:
        for node in nodes.values():
            node.publish(sha, WRAPPED)
        ssh = transport_of(commands())
    with_ssh = PLAIN | {"GIT_SSH_COMMAND": ssh, "GIT_SSH_VARIANT": "ssh"}
    trees = HOME / "by_hand"
    trees.mkdir()
    shutil.chown(trees, ACCOUNT, ACCOUNT)
    clone = [GIT, "clone", "--quiet", "--bare", repository.url]
    run_as(ACCOUNT, [*clone, str(trees / "repository.git")], with_ssh)
    path, content = file_of(0)
    refuse_without_gate(nodes["on"], repository.push(1, [(path, "def broken(:\n")]))
    repository.push(2, [(path, content)])
    for node in nodes.values():
        node.publish(repository.git("rev-parse", "refs/heads/main"), PLAIN)

    def by_hand(sha: str) -> float:
        seconds = timed(["/bin/sh", "-c", BY_HAND, "-", str(trees), sha], with_ssh)
        if (
            run_as(ACCOUNT, [GIT, "-C", str(trees / sha), "rev-parse", "HEAD"], PLAIN).strip()
            != sha
        ):
            raise WrongMeasureError("what was checked out by hand is another commit")
        return seconds

    ways: dict[str, Callable[[str], float]] = {
        "by hand": by_hand,
        "gate off": lambda sha: nodes["off"].publish(sha, PLAIN),
        "gate on": lambda sha: nodes["on"].publish(sha, PLAIN),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        sha = repository.push(3 + number, [file_of(number, mark=3 + number)])
        for name in in_turns(list(ways), number):
            os.sync()  # Else one way pays for what another has written.
            taken[name].append(ways[name](sha))
    steps = []
    for number in range(rounds, rounds + 3):
        sha = repository.push(3 + number, [file_of(number, mark=3 + number)])
        os.sync()
        steps.append(by_step(lambda environment, sha=sha: nodes["on"].publish(sha, environment)))
    return {"seconds": taken, "steps": steps, "disk": disk(nodes["off"])}


def refuse_without_gate(node: Node, sha: str) -> None:
    """Refuse a gate that lets a broken file pass: it would cost nothing."""
    done = subprocess.run(
        node.command(), env=PLAIN, capture_output=True, check=False, **as_account(ACCOUNT)
    )
    if done.returncode != BLOCKED or node.link.readlink().name == sha:
        raise WrongMeasureError(
            f"a broken file passed the gate: the program ended with {done.returncode}"
        )


def disk(node: Node) -> dict[str, int]:
    """Return what one more release takes; what it shares with the one before counts there."""
    releases = sorted(
        (node.home / f".{LINK}" / "releases").iterdir(), key=lambda path: path.stat().st_mtime
    )
    found = {"files": sum(len(files) for _, _, files in os.walk(releases[-1]))}
    for name, option in (("apparent", "--apparent-size"), ("real", "--total")):
        command = ["/usr/bin/du", "--summarize", "--block-size=1", option]
        lines = run_as("root", [*command, *map(str, releases[-2:])], PLAIN).splitlines()
        found[name] = int(lines[1].split()[0])
    command = ["/usr/bin/du", "--summarize", "--block-size=1", str(releases[0].parents[1])]
    found["all"] = int(run_as("root", command, PLAIN).split()[0])
    found["releases"] = len(releases)
    return found


def large(first_rounds: int, rounds: int) -> dict[str, Any]:
    """Publish a repository of many files: as a whole, then one changed file."""
    repository = Repository(LARGE)
    sha = repository.git("rev-parse", "refs/heads/main")
    first, changed = [], []
    for number in range(first_rounds):
        node = Node(f"large_{number}", repository, gate=True)
        os.sync()
        first.append(by_step(lambda environment, node=node: node.publish(sha, environment)))
    for number in range(rounds):
        sha = repository.push(1 + number, [file_of(number, mark=1 + number)])
        os.sync()
        changed.append(by_step(lambda environment, sha=sha: node.publish(sha, environment)))
    with noted() as commands:
        node.tick(WRAPPED)
        ssh = transport_of(commands())
    bare = [GIT, "ls-remote", "--", repository.url, "refs/heads/main"]
    with_ssh = PLAIN | {"GIT_SSH_COMMAND": ssh, "GIT_SSH_VARIANT": "ssh"}
    taken: dict[str, list[float]] = {"ls-remote": [], "tick": []}
    for _ in range(rounds):
        taken["ls-remote"].append(timed(bare, with_ssh))
        taken["tick"].append(node.tick(PLAIN))
    return {"first": first, "changed": changed, "seconds": taken}


# Reads


def read_marks(folder: str) -> set[str]:
    """Return the marks of all files of a read: one, unless the read is torn."""
    marks = set()
    for number in range(READ):
        path, _ = marked_file(number, 0)
        try:
            with open(f"{folder}/{path}", "rb", buffering=0) as file:  # noqa: PTH123 - millions of times
                marks.add(file.read().decode())
        except FileNotFoundError:
            marks.add("missing")
    return marks


@contextlib.contextmanager
def pinned(link: str) -> Iterator[str]:
    """Resolve the link once, and hold the release, as the program's head says."""
    while True:
        path = os.path.realpath(link)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            try:
                same = os.path.samestat(os.fstat(descriptor), Path(path).stat())
            except FileNotFoundError:
                same = False
            if same:
                yield path
                return
        finally:
            os.close(descriptor)


def read(link: str, count: int) -> dict[str, int]:
    """Read through the pinned link, in between through the link itself; count what is torn."""
    counts = {"pinned": 0, "pinned_torn": 0, "unpinned": 0, "unpinned_torn": 0}
    seen = set()
    for number in range(count):
        with pinned(link) as path:
            marks = read_marks(path)
        seen |= marks
        counts["pinned"] += 1
        counts["pinned_torn"] += marks == {"missing"} or len(marks) != 1
        if number % UNPINNED_EVERY == 0:
            marks = read_marks(link)
            counts["unpinned"] += 1
            counts["unpinned_torn"] += marks == {"missing"} or len(marks) != 1
    return counts | {"releases": len(seen)}


def reads(count: int) -> dict[str, Any]:
    """Read while one publication follows the other, and old releases are removed."""
    repository = Repository(MARKED)
    node = Node("reads", repository, gate=False, keep_releases=2, keep_days=0)
    node.publish(repository.git("rev-parse", "refs/heads/main"), PLAIN)
    command = [PYTHON, __file__, "read", "--link", str(node.link), "--count", str(count // READERS)]
    began = time.perf_counter()
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **as_account(ACCOUNT))
        for _ in range(READERS)
    ]
    published = 0
    try:
        while any(reader.poll() is None for reader in readers):
            published += 1
            marks = [marked_file(number, published) for number in range(READ)]
            node.publish(repository.push(published, marks), PLAIN)
    except BaseException:
        for reader in readers:
            reader.kill()
        raise
    outputs = [reader.communicate()[0] for reader in readers]
    if any(reader.returncode for reader in readers):
        raise WrongMeasureError("a reader failed")
    counts = [json.loads(output) for output in outputs]
    return {
        "seconds": time.perf_counter() - began,
        "publications": published,
        "left": len(list((node.home / f".{LINK}" / "releases").iterdir())),
        **{name: sum(of[name] for of in counts) for name in counts[0]},
    }


# stage → the function, its rounds, and its rounds in a quick run
STAGES: dict[str, tuple[Callable[..., dict[str, Any]], tuple[int, ...], tuple[int, ...]]] = {
    "set_up": (set_up, (), ()),
    "ticks": (ticks, (31,), (5,)),
    "publish": (publish, (11,), (3,)),
    "large": (large, (3, 5), (1, 2)),
    "reads": (reads, (100_000,), (5_000,)),
}


def main() -> int:
    """Run one stage, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "read"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--link")
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    if options.stage == "read":
        print(json.dumps(read(options.link, options.count)))
        return 0
    stage, rounds, few = STAGES[options.stage]
    try:
        found = stage(*(few if options.quick else rounds))
    except WrongMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
