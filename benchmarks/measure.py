# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: a timed run, and the machine that it is taken on."""

import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import PeakMemory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LAB = ROOT / ".lab"
PING = "benchmarks/ping.yml"


class BenchError(Exception):
    """What keeps a figure from being taken; its text is shown without a traceback."""


@dataclass(frozen=True)
class Span:
    """A part of a run: a task, or the beginning of a play."""

    play: str
    role: str
    task: str
    seconds: float
    results: int
    changed: int


@dataclass(frozen=True)
class Run:
    """A run of a playbook: how long it took, and where, and what became of each host."""

    seconds: float
    spans: list[Span]
    recap: dict[str, dict[str, int]]
    # Of ansible-playbook and all it started here: what another process's work does not change.
    cpu_seconds: float = 0.0

    @property
    def start_and_end(self) -> float:
        """The seconds outside all plays: Ansible's imports, the inventory, the recap."""
        return self.seconds - sum(span.seconds for span in self.spans)


@dataclass(frozen=True)
class Ended:
    """A command that ended well."""

    seconds: float
    cpu_seconds: float
    output: str


def parse_run(seconds: float, text: str, cpu_seconds: float = 0.0) -> Run:
    """Read what the callback wrote of a run that took so many seconds."""
    written = json.loads(text)
    spans = [Span(**span) for span in written["spans"]]
    return Run(seconds, spans, written["recap"], cpu_seconds)


def refuse_bad_recap(run: Run, hosts: set[str], *, changed: bool) -> None:
    """Raise BenchError unless the run reached these hosts, without a failure.

    `changed` says whether it had to change something on each of them, or nothing on any.
    """
    if missed := hosts ^ run.recap.keys():
        raise BenchError(f"Playbook and ping ran on different nodes: {sorted(missed)}")
    for host, counts in sorted(run.recap.items()):
        if bad := {name: counts[name] for name in ("failures", "unreachable") if counts[name]}:
            raise BenchError(f"A run that failed is no measure: {host} has {bad}")
        if bool(counts["changed"]) != changed:
            tasks = sorted({span.task for span in run.spans if span.changed})
            raise BenchError(
                f"This run should have changed {'every node' if changed else 'nothing'}, but"
                f" {host} has 'changed': {counts['changed']}; changed: {tasks}"
            )


def run(label: str, *argv: str, watch: PeakMemory | None = None, **environment: str) -> Ended:
    """Run a command with its output in a log, and say how long it took."""
    log = LAB / "log" / f"bench-{label}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"bench: {label}", end="", flush=True)
    began = time.perf_counter()
    with log.open("w") as output:
        # A group of its own, so that all of it can be ended.
        process = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ | environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        if watch:
            watch.watch(process.pid)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            print(" is stopped", flush=True)
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if watch:
        watch.end(used.ru_maxrss * 1024)
    print(f" took {seconds:.1f} s", flush=True)
    text = log.read_text(errors="replace")
    if process.returncode:
        end = "\n".join(line for line in text.splitlines() if line.strip())[-1500:]
        raise BenchError(
            f"{label} ended with {process.returncode}; the end of {log.relative_to(ROOT)}:\n{end}"
        )
    return Ended(seconds, used.ru_utime + used.ru_stime, text)


def playbook(
    label: str, path: str, *arguments: str, watch: PeakMemory | None = None, **environment: str
) -> Run:
    """Run a playbook and return where its time went."""
    times = LAB / "log" / "bench-times.json"
    times.unlink(missing_ok=True)
    ended = run(
        label, "ansible-playbook", path, *arguments, watch=watch,
        ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback"),
        ANSIBLE_CALLBACKS_ENABLED="times,caspian.airflow.guard",
        BENCH_TIMES=str(times), **environment,
    )  # fmt: skip
    return parse_run(ended.seconds, times.read_text(), ended.cpu_seconds)


def capture(*argv: str) -> str:
    """Return the output of a quick command; of one that fails, nothing."""
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode else done.stdout.strip()


def output_of(what: str, *argv: str, stdin: str) -> str:
    """Return the output of a quick command that must not fail."""
    done = subprocess.run(argv, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{what} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def look_at_machine() -> dict[str, Any]:
    """Return what matters of this machine for the figures, and nothing that names it."""
    engine = capture("scripts/nodes", "engine")
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": capture("git", "rev-parse", "--short", "HEAD") or "unknown",
        "dirty": is_dirty(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "engine": capture(engine, "--version") if engine else "no engine",
        "ansible_core": importlib.metadata.version("ansible-core"),
        "load": os.getloadavg()[0],
    }


def is_dirty() -> bool:
    """Tell whether this is anything but a commit; the figures that were entered are no change."""
    others = ("--", ".", ":(exclude)benchmarks/README.md")
    known = capture("git", "rev-parse", "--verify", "HEAD")
    return not known or bool(capture("git", "status", "--porcelain", *others))


@contextlib.contextmanager
def removed_at_the_end(cluster: str) -> Iterator[None]:
    """Remove a cluster when the block ends, however it does; refuse one that is there."""
    if (LAB / cluster).exists() or capture("scripts/nodes", "list", "--cluster", cluster):
        raise BenchError(
            f"There is a cluster {cluster} already, in use or left over. To remove it:\n"
            f"  scripts/nodes destroy --cluster {cluster}"
        )
    try:
        yield
    finally:
        with undisturbed():
            run("destroy", "scripts/nodes", "destroy", "--cluster", cluster)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore the signals that would end this program."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
