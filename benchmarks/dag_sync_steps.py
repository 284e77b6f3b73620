# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a run of the sync: the commands that it starts, and the program between them."""

import contextlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.dag_sync_commands import ACCOUNT, GIT, PATH, PLAIN, PYTHON
from benchmarks.turns import WrongMeasureError

# bash knows the time without starting anything.
WRAPPER = """#!/bin/bash
begin=$EPOCHREALTIME
{real} "$@"
code=$?
printf '%s\\0' "$begin" "$EPOCHREALTIME" "{name}" "${{GIT_SSH_COMMAND:-}}" "$#" "$@" >>{log}
exit $code
"""


class Command:
    """A wrapped command that ran, as its wrapper noted it."""

    def __init__(
        self, begin: float, end: float, name: str, ssh: str, arguments: Sequence[str]
    ) -> None:
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


def median_steps(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each step, in the order of the run that has most of them."""
    names = [*max(runs, key=lambda run: len([*run]))]
    names += [name for run in runs for name in run if name not in names]
    return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in names}


def transport_of(commands: Sequence[Command]) -> str:
    """Return the ssh command with which the program asked the server."""
    for command in commands:
        if command.label in ("git ls-remote", "git fetch") and command.ssh:
            return command.ssh
    raise WrongMeasureError("the program did not ask the server with git over ssh")


WRAPPERS = Path("/usr/local/lib/bench-dag-sync")
# The gate's interpreter: the system's, or its wrapper. Of another path all would be checked anew.
GATE = Path("/usr/local/lib/bench-dag-sync-gate/python3")
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
