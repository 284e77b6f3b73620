# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a deployment costs, and write the figures to benchmarks/results/.

converged   a site.yml that has nothing to do, in pings: a play with one ping on the same nodes
first_run   from no nodes to the first successful run of a workflow, by phase

Without a name, all. They make a cluster, `bench`, and remove it at the end, whatever happens.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LAB = ROOT / ".lab"
BENCHMARKS = ("first_run", "converged")
OWN_CLUSTER = "bench"
NODES = ("control1", "scheduler1", "worker1", "worker2")
ROUNDS = 3
AIM_PINGS = 40
AIM_SECONDS = 300
OUR_ROLES = "caspian.airflow."
ANSIBLE_ITSELF = "(Ansible's start and end)"


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

    @property
    def start_and_end(self) -> float:
        """The seconds outside all plays: Ansible's imports, the inventory, the recap."""
        return self.seconds - sum(span.seconds for span in self.spans)


def parse_run(seconds: float, text: str) -> Run:
    """Read what the callback wrote of a run that took so many seconds."""
    written = json.loads(text)
    return Run(seconds, [Span(**span) for span in written["spans"]], written["recap"])


def refuse_unless_converged(run: Run, hosts: set[str]) -> None:
    """Raise BenchError unless the run reached these hosts and changed nothing on any."""
    if missed := hosts ^ run.recap.keys():
        raise BenchError(f"site.yml and the ping ran on different nodes: {sorted(missed)}")
    for host, counts in sorted(run.recap.items()):
        if bad := {name: counts[name] for name in ("changed", "failures", "unreachable")
                   if counts[name]}:  # fmt: skip
            changed = sorted({span.task for span in run.spans if span.changed})
            raise BenchError(f"This was no converged run: {host} has {bad}; changed: {changed}")


def seconds_by(run: Run, key: Callable[[Span], str]) -> dict[str, float]:
    """Return all seconds of a run by what the key names, in the order of the run."""
    found: dict[str, float] = {ANSIBLE_ITSELF: run.start_and_end}
    for span in run.spans:
        found[key(span)] = found.get(key(span), 0.0) + span.seconds
    return found


def role_of(span: Span) -> str:
    """Return the name of a span's role."""
    return span.role.removeprefix(OUR_ROLES) or "(no role)"


def slowest_tasks(run: Run, count: int = 10) -> list[tuple[str, str, int, int, float]]:
    """Return (role, task, times, results, seconds) of the slowest, a repeated task as one."""
    found: dict[tuple[str, str], list[Span]] = {}
    for span in run.spans:
        found.setdefault((role_of(span), span.task), []).append(span)
    rows = [
        (*name, len(spans), sum(span.results for span in spans), sum(s.seconds for s in spans))
        for name, spans in found.items()
    ]
    return sorted(rows, key=lambda row: -row[-1])[:count]


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


def parts_table(title: str, parts: dict[str, float], ping: float) -> str:
    """Return a table of the parts that make up a whole."""
    whole = sum(parts.values())
    rows = [
        (name, seconds, f"{seconds / whole:.0%}", seconds / ping) for name, seconds in parts.items()
    ]
    return table((title, "seconds", "share", "pings"), rows)


def sorted_parts(parts: dict[str, float]) -> dict[str, float]:
    """Return the parts, the largest first."""
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def spread(name: str, runs: list[Run]) -> tuple[str, float, float, float, int]:
    """Return (name, median, least, most, count) of the runs' seconds."""
    seconds = [run.seconds for run in runs]
    return name, statistics.median(seconds), min(seconds), max(seconds), len(runs)


def converged_report(sites: list[Run], pings: list[Run]) -> tuple[dict[str, Any], str]:
    """Return the figures of a converged site.yml, raw and as Markdown."""
    site = statistics.median([run.seconds for run in sites])
    ping = statistics.median([run.seconds for run in pings])
    typical = min(sites, key=lambda run: abs(run.seconds - site))
    figures = {
        "pings": site / ping,
        "aim_pings": AIM_PINGS,
        "site_seconds": [run.seconds for run in sites],
        "ping_seconds": [run.seconds for run in pings],
        "run": asdict(typical),
    }
    tasks = [
        (*row, f"{row[-1] / typical.seconds:.0%}", row[-1] / ping) for row in slowest_tasks(typical)
    ]
    text = (
        f"A converged `site.yml` costs **{site / ping:.1f} pings** (aim: at most {AIM_PINGS}).\n\n"
        + table(
            ("interleaved runs", "median", "least", "most", "runs"),
            [spread("site.yml", sites), spread("ping", pings)],
        )
        + "\nWhere the time of the median run goes:\n\n"
        + parts_table("role", sorted_parts(seconds_by(typical, role_of)), ping)
        + "\n"
        + parts_table("play", seconds_by(typical, lambda span: span.play), ping)
        + "\nIts slowest tasks (results: one for each host, or for each item on it):\n\n"
        + table(("role", "task", "times", "results", "seconds", "share", "pings"), tasks)
    )
    return figures, text


@dataclass(frozen=True)
class FirstRun:
    """From no nodes to a workflow that succeeded."""

    before: dict[str, float]  # phase → seconds, before site.yml
    site: Run
    workflow: float
    pings: list[Run]
    warm: bool
    image_built: bool


def first_run_report(first: FirstRun) -> tuple[dict[str, Any], str]:
    """Return the figures of a first run, raw and as Markdown."""
    ping = statistics.median(run.seconds for run in first.pings)
    plays = seconds_by(first.site, lambda span: span.play)
    phases = first.before | {f"site.yml: {play}": seconds for play, seconds in plays.items()}
    phases["workflow"] = first.workflow
    whole = sum(phases.values())
    figures = {
        "seconds": whole,
        "aim_seconds": AIM_SECONDS,
        "pings": whole / ping,
        "ping_seconds": [run.seconds for run in first.pings],
        "warm_package_cache": first.warm,
        "image_built": first.image_built,
        "phases": phases,
        "run": asdict(first.site),
    }
    image = "built first" if first.image_built else "there before"
    text = (
        "From no nodes to the first successful run of a workflow:"
        f" **{whole:.0f} s, {whole / ping:.0f} pings** (aim: under {AIM_SECONDS} s with a warm"
        f" package cache; here it was {'warm' if first.warm else 'cold'},"
        f" and the nodes' image was {image}).\n\n"
        + parts_table("phase", phases, ping)
        + "\n`site.yml` by role:\n\n"
        + parts_table("role", sorted_parts(seconds_by(first.site, role_of)), ping)
    )
    return figures, text


def busy(machine: dict[str, Any]) -> str:
    """Return a warning when other work was going on, else nothing."""
    if machine["load"] <= machine["cores"] / 4:
        return ""
    return (
        f"**The machine was busy** (load {machine['load']:.1f} on {machine['cores']} cores"
        " before the start): these figures are no measure."
    )


def machine_line(machine: dict[str, Any]) -> str:
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


class Cluster:
    """A cluster of the lab, and what can be timed on it."""

    def __init__(self, name: str) -> None:
        """Take a cluster, which need not exist yet."""
        self.name = name

    def run(self, label: str, *argv: str, **environment: str) -> tuple[float, str]:
        """Run a command with its output in a log; return its seconds and its output."""
        log = LAB / "log" / f"bench-{label}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        print(f"bench: {label}", end="", flush=True)
        began = time.perf_counter()
        with log.open("w") as output:
            # A group of its own, so that all of it can be ended.
            process = subprocess.Popen(
                argv, cwd=ROOT, env=os.environ | {"CASPIAN_LAB": self.name} | environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait()
            except BaseException:
                print(" is stopped", flush=True)
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                raise
        seconds = time.perf_counter() - began
        print(f" took {seconds:.1f} s", flush=True)
        if code:
            end = "\n".join(line for line in log.read_text().splitlines() if line.strip())[-1500:]
            raise BenchError(
                f"{label} ended with {code}; the end of {log.relative_to(ROOT)}:\n{end}"
            )
        return seconds, log.read_text()

    def playbook(self, label: str, path: str) -> Run:
        """Run a playbook and return where its time went."""
        times = LAB / "log" / "bench-times.json"
        times.unlink(missing_ok=True)
        seconds, _ = self.run(
            label, "ansible-playbook", path,
            ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback"), ANSIBLE_CALLBACKS_ENABLED="times",
            BENCH_TIMES=str(times),
        )  # fmt: skip
        return parse_run(seconds, times.read_text())

    def ping(self) -> Run:
        """Run the play with one ping."""
        return self.playbook("ping", "benchmarks/ping.yml")

    def deploy(self, cache: Path) -> FirstRun:
        """Make the nodes, deploy, run a workflow."""
        warm = any(cache.glob("archive-*/*"))
        cache.mkdir(parents=True, exist_ok=True)
        nodes, said = self.run(
            "nodes", "scripts/nodes", "create", "--cluster", self.name,
            "--mount", f"{cache}:/var/cache/uv", *NODES,
        )  # fmt: skip
        self.ping()  # Opens the connections, which the runs then share.
        pings = [self.ping() for _ in range(ROUNDS)]
        prepare = self.playbook("prepare", "scripts/lab/prepare.yml")
        site = self.playbook("site", "site.yml")
        workflow, _ = self.run(
            "workflow", sys.executable, "scripts/lab/run_workflow.py", "--cluster", self.name
        )
        before = {"nodes": nodes, "prepare": prepare.seconds}
        return FirstRun(before, site, workflow, pings, warm, "building" in said)

    def converged(self) -> tuple[list[Run], list[Run]]:
        """Return the runs of site.yml and those of the ping, which take turns."""
        sites, pings = [], []
        for _ in range(ROUNDS):
            pings.append(self.ping())
            sites.append(self.playbook("site", "site.yml"))
            refuse_unless_converged(sites[-1], set(pings[-1].recap))
        return sites, pings

    @contextlib.contextmanager
    def removed_at_the_end(self) -> Iterator[None]:
        """Remove the cluster when the block ends, however it does; refuse one that is there."""
        if (LAB / self.name).exists() or capture("scripts/nodes", "list", "--cluster", self.name):
            raise BenchError(
                f"There is a cluster {self.name} already, in use or left over. To remove it:\n"
                f"  scripts/nodes destroy --cluster {self.name}"
            )
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self.run("destroy", "scripts/nodes", "destroy", "--cluster", self.name)


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


def stop(*_: object) -> None:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(BENCHMARKS))
    parser.add_argument(
        "--cluster",
        default=OWN_CLUSTER,
        help="have `converged` use this cluster, which must be up, such as demo",
    )
    parser.add_argument(
        "--results", type=Path, default=HERE / "results", help="another folder to write to"
    )
    parser.add_argument("--package-cache", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        machine = look_at_machine()
        with contextlib.ExitStack() as stack:
            own, cluster = Cluster(OWN_CLUSTER), Cluster(options.cluster)
            if "first_run" in names or cluster.name == OWN_CLUSTER:
                stack.enter_context(own.removed_at_the_end())
                first = own.deploy(options.package_cache)
                if "first_run" in names:
                    write(options.results, "first_run", machine, first_run_report(first))
            if "converged" in names:
                if cluster.name != OWN_CLUSTER:
                    cluster.playbook("site", "site.yml")  # Others may have changed something.
                report = converged_report(*cluster.converged())
                write(options.results, "converged", machine, report)
    except BenchError as error:
        print(f"\nscripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscripts/bench: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
