# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: a timed run, what it was taken on, and tables of figures."""

import contextlib
import importlib.metadata
import json
import math
import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LAB = ROOT / ".lab"
PING = "benchmarks/ping.yml"


class BenchError(Exception):
    """What keeps a figure from being taken; its text is shown without a traceback."""


@dataclass(frozen=True)
class Aim:
    """A figure, and what it should be."""

    what: str
    value: float
    limit: float
    at_least: bool = False
    unit: str = "×"

    @property
    def share(self) -> float:
        """How much of what the aim allows was used."""
        part, whole = (self.limit, self.value) if self.at_least else (self.value, self.limit)
        return part / whole if whole else (math.inf if part else 0.0)

    def row(self) -> tuple[str, str, str, str]:
        """Return the figure as a line of the table."""
        sign = "≥" if self.at_least else "≤"
        return self.what, self.text(self.value), f"{sign} {self.text(self.limit)}", self.verdict

    def text(self, value: float) -> str:
        """Return a figure as people write it."""
        digits = 0 if self.at_least or self.unit != "×" else 2
        return f"{value:,.{digits}f}{self.unit}"

    @property
    def verdict(self) -> str:
        """Whether the aim is met."""
        return "met" if self.share <= 1 else "**missed**"


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


class PeakMemory(threading.Thread):
    """Looks at a process and its descendants while they run: the most memory they had, in bytes."""

    def __init__(self, every: float = 0.1) -> None:
        """Look so often."""
        super().__init__(daemon=True)
        self.every = every
        self.largest = 0
        self.together = 0
        self.ended = threading.Event()
        self.pid = 0

    def watch(self, pid: int) -> None:
        """Begin."""
        self.pid = pid
        self.start()

    def run(self) -> None:
        """Look until told to end."""
        while not self.ended.wait(self.every):
            sizes = [proportional_bytes(pid) for pid in with_descendants(self.pid, parents())]
            self.together = max(self.together, sum(sizes))

    def end(self, largest: int) -> None:
        """End, with what the system has noted of the largest process."""
        self.ended.set()
        self.join()
        self.largest = largest


def parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before may hold anything, blanks and brackets too.
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return found


def with_descendants(pid: int, parent_of: Mapping[int, int]) -> set[int]:
    """Return a process and all that it has started and that have not been given away."""
    found = {pid}
    while more := {child for child, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found


def proportional_bytes(pid: int) -> int:
    """Return the memory of a process, of shared pages its part; 0 of one that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


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


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table: texts to the left, numbers and shares to the right."""
    numeric = [
        all(isinstance(row[column], int | float) or str(row[column]).endswith("%") for row in rows)
        for column in range(len(header))
    ]
    lines = [list(header), ["--:" if right else "---" for right in numeric]]
    lines += [[cell(value) for value in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: object) -> str:
    """Return a value as the text of a table's cell."""
    return f"{value:.1f}" if isinstance(value, float) else str(value).replace("|", "\\|")


def busy(machine: Mapping[str, Any]) -> str:
    """Return a warning when other work was going on, else nothing."""
    if machine["load"] <= machine["cores"] / 4:
        return ""
    return (
        f"**The machine was busy** (load {machine['load']:.1f} on {machine['cores']} cores"
        " before the start): these figures are no measure."
    )


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return what the figures were taken on, as a sentence."""
    return (
        f"{machine['date']}, commit {machine['commit']}: {machine['cores']} cores,"
        f" {machine['memory_gib']} GiB, {machine['engine']},"
        f" ansible-core {machine['ansible_core']}, load {machine['load']:.1f} before the start."
    )


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


def spread(name: str, runs: Sequence[Run]) -> tuple[str, float, float, float, int]:
    """Return (name, median, least, most, count) of the runs' seconds."""
    seconds = [run.seconds for run in runs]
    return name, statistics.median(seconds), min(seconds), max(seconds), len(runs)


def look_at_machine() -> dict[str, Any]:
    """Return what matters of this machine for the figures, and nothing that names it."""
    engine = capture("scripts/nodes", "engine")
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": capture("git", "describe", "--always", "--dirty") or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "engine": capture(engine, "--version") if engine else "no engine",
        "ansible_core": importlib.metadata.version("ansible-core"),
        "load": os.getloadavg()[0],
    }


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


def write(
    results: Path, name: str, machine: dict[str, Any], report: tuple[dict[str, Any], str]
) -> None:
    """Write a benchmark's figures as JSON and as Markdown, and print the latter."""
    figures, text = report
    head = "\n\n".join(filter(None, (f"# {name}", machine_line(machine), busy(machine), text)))
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.md").write_text(head)
    (results / f"{name}.json").write_text(
        json.dumps({"benchmark": name, "machine": machine} | figures, indent=1) + "\n"
    )
    print(f"\n{head}")
