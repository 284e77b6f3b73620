# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of dag_sync does inside its node: it takes the figures there.

Copied into the node and run by root, once for each stage; the last line of its output is JSON. So
no figure has the way into the node in it. Standard library only.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import dag_sync_reads
from benchmarks.dag_sync_commands import (
    ACCOUNT,
    GIT,
    HOME,
    PLACE,
    PLAIN,
    PYTHON,
    as_account,
    run_as,
    timed,
)
from benchmarks.dag_sync_repository import (
    FILES,
    LARGE,
    MARKED,
    READ,
    SMALL,
    Repository,
    file_of,
    marked_file,
)
from benchmarks.dag_sync_steps import GATE, WRAPPED, by_step, noted, transport_of, write_wrappers
from benchmarks.turns import Stages, WrongMeasureError, compare, run_stage

PROGRAM = Path("/usr/local/bin/airflow-dag-sync")
LINK = "airflow-git-dir"
# What a tick may change: the time of this file says when the last one succeeded.
EXCEPTED = f".{LINK}/last_success"
BLOCKED = 4

READERS = 2


class Node:
    """A link with its releases and settings: as many of them as are to be compared."""

    def __init__(self, name: str, repository: Repository, *, gate: bool, **other: Any) -> None:
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


# What is below a directory

Inode = tuple[int, ...]


def look(directory: Path) -> dict[str, Inode]:
    """Return of all that is below a directory, itself included, what a write would change."""
    found: dict[str, Inode] = {}
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


def over(ssh: str) -> dict[str, str]:
    """Return the environment in which git asks the server as the program does."""
    return PLAIN | {"GIT_SSH_COMMAND": ssh, "GIT_SSH_VARIANT": "ssh"}


def list_refs(repository: Repository, ssh: str) -> float:
    """Return how long git takes to say where the branch is: the least that finds news."""
    return timed([GIT, "ls-remote", "--", repository.url, "refs/heads/main"], over(ssh))


def ticks(rounds: int) -> dict[str, Any]:
    """Compare a tick without news to a bare ls-remote, and see what it writes."""
    repository = Repository(SMALL)
    node = Node("tick", repository, gate=True)
    node.publish(repository.git("rev-parse", "refs/heads/main"), PLAIN)
    with noted() as commands:
        node.tick(WRAPPED)  # May write that the news is published.
        ssh = transport_of(commands())
    interpreter = shlex.split(PROGRAM.read_bytes().splitlines()[0].decode().removeprefix("#!"))
    ways: dict[str, Callable[[], float]] = {
        "ls-remote": lambda: list_refs(repository, ssh),
        "tick": lambda: node.tick(PLAIN),
        "python": lambda: timed([*interpreter, "-c", "pass"], PLAIN),
    }
    before = look(node.home)
    taken = compare(ways, rounds)
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
    with_ssh = over(ssh)
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

    def push(number: int) -> str:
        return repository.push(3 + number, [file_of(number, mark=3 + number)])

    pushed = ""

    def begin_round(number: int) -> None:
        nonlocal pushed
        pushed = push(number)

    def after_sync(publish: Callable[[str], float]) -> Callable[[], float]:
        def run() -> float:
            os.sync()  # Else one way pays for what another has written.
            return publish(pushed)

        return run

    ways = {
        "by hand": after_sync(by_hand),
        "gate off": after_sync(lambda sha: nodes["off"].publish(sha, PLAIN)),
        "gate on": after_sync(lambda sha: nodes["on"].publish(sha, PLAIN)),
    }
    taken = compare(ways, rounds, begin_round)
    steps = []
    for number in range(rounds, rounds + 3):
        sha = push(number)
        os.sync()
        steps.append(by_step(partial(nodes["on"].publish, sha)))
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
        first.append(by_step(partial(node.publish, sha)))
    for number in range(rounds):
        sha = repository.push(1 + number, [file_of(number, mark=1 + number)])
        os.sync()
        changed.append(by_step(partial(node.publish, sha)))
    with noted() as commands:
        node.tick(WRAPPED)
        ssh = transport_of(commands())
    ways = {"ls-remote": lambda: list_refs(repository, ssh), "tick": lambda: node.tick(PLAIN)}
    taken = compare(ways, rounds)
    return {"first": first, "changed": changed, "seconds": taken}


def reads(count: int) -> dict[str, Any]:
    """Read while one publication follows the other, and old releases are removed."""
    repository = Repository(MARKED)
    node = Node("reads", repository, gate=False, keep_releases=2, keep_days=0)
    node.publish(repository.git("rev-parse", "refs/heads/main"), PLAIN)
    command = [PYTHON, "-m", dag_sync_reads.__name__, str(node.link), str(count // READERS)]
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


STAGES: Stages = {
    "set_up": (set_up, (), ()),
    "ticks": (ticks, (31,), (5,)),
    "publish": (publish, (11,), (3,)),
    "large": (large, (3, 5), (1, 2)),
    "reads": (reads, (100_000,), (5_000,)),
}


def main() -> int:
    """Run the stage that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    return run_stage(STAGES, options.stage, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
