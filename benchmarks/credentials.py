# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refresh of credentials costs, in pings: from a vault over TLS to locked files on nodes.

The nodes are servers of SSH in one container, each with a port, a host key and a directory of its
own; the vault is the stand-in of the tests.
"""

import contextlib
import math
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import chart, figures, measure
from benchmarks.credentials_fleet import (
    ALL,
    COPIED,
    FEW,
    MANY,
    PAGE,
    SOURCES,
    Fleet,
    Step,
    Vault,
)
from benchmarks.figures import Aim
from benchmarks.measure import Run, Span
from benchmarks.memory import PeakMemory

COPY = "benchmarks/copy_loop.yml"
ROUNDS = 3
MIB = 2**20


PING = Step("ping, 3 nodes", SOURCES, FEW, measure.PING)
FIRST = Step("first refresh, 3 nodes", SOURCES, FEW, empty=True)
AGAIN = Step("unchanged, 3 nodes", SOURCES, FEW)
FIRST_MANY = Step("first, 10,000 sources", MANY, FEW, empty=True)
AGAIN_MANY = Step("unchanged, 10,000 sources", MANY, FEW)
PING_ALL = Step("ping, 30 nodes", SOURCES, ALL, measure.PING)
FIRST_ALL = Step("first refresh, 30 nodes", SOURCES, ALL, empty=True)
AGAIN_ALL = Step("unchanged, 30 nodes", SOURCES, ALL)
COPY_LOOP = Step("copy loop, 50 sources", COPIED, FEW, COPY, empty=True)
# In this order, so that what is compared is close in time.
STEPS = (PING, FIRST, AGAIN, FIRST_MANY, AGAIN_MANY, PING_ALL, FIRST_ALL, AGAIN_ALL)

# How the tasks of the role are called in the figures: the rest is Ansible's own.
PARTS = {"vault": "ask the vault", "lock": "lock the files", "ping": "ping"}


@dataclass(frozen=True)
class Figures:
    """All that was measured."""

    runs: dict[str, list[Run]]  # By the name of the step.
    requests: dict[str, int]
    memory: dict[str, dict[str, float]]  # MiB, by the name of the step.

    def seconds(self, step: Step) -> float:
        """Return the median of a step."""
        return statistics.median(run.seconds for run in self.runs[step.name])

    def ratio(self, step: Step, other: Step) -> float:
        """Return how much longer a step takes than another: the median of the rounds' ratios.

        Within a round the two are close in time, so work of others weighs on both.
        """
        pairs = zip(self.runs[step.name], self.runs[other.name], strict=False)
        return statistics.median(run.seconds / base.seconds for run, base in pairs)

    def aims(self) -> list[Aim]:
        """Return the figures that have an aim."""
        per_source = self.seconds(FIRST) / SOURCES
        return [
            Aim("first refresh, 1,000 sources, 3 nodes, in pings", self.ratio(FIRST, PING), 2.0),
            Aim("the same with nothing changed", self.ratio(AGAIN, PING), 1.6),
            Aim("10,000 sources, first, to 1,000", self.ratio(FIRST_MANY, FIRST), 5),
            Aim("10,000 sources, unchanged, to 1,000", self.ratio(AGAIN_MANY, AGAIN), 5),
            Aim("30 nodes, nothing changed, in pings", self.ratio(AGAIN_ALL, PING_ALL), 1.6),
            Aim(
                "faster than a copy loop, per source",
                self.seconds(COPY_LOOP) / COPIED / per_source, 200, at_least=True,
            ),
            Aim(
                "requests of the vault: pages and a token",
                sum(self.requests.values()), pages(SOURCES) + 1, unit="",
            ),
        ]  # fmt: skip


def pages(sources: int) -> int:
    """Return how many pages a listing has, with the empty one that ends it."""
    return math.ceil(sources / PAGE) + 1


def part_of(span: Span) -> str:
    """Return to which part of a run a span belongs."""
    task = span.task.lower()
    return next((name for word, name in PARTS.items() if word in task), "Ansible itself")


def parts_of(run: Run) -> dict[str, float]:
    """Return the seconds of a run by part; they add up to the whole."""
    found = {"Ansible itself": run.start_and_end}
    for span in run.spans:
        found[part_of(span)] = found.get(part_of(span), 0.0) + span.seconds
    return found


def report(found: Figures) -> tuple[dict[str, Any], str]:
    """Return the figures, raw and as Markdown."""
    aims = found.aims()
    raw = {
        "aims": figures.raw_aims(aims),
        "requests": found.requests,
        "memory_mib": found.memory,
        "runs": {
            name: [
                {"seconds": run.seconds, "cpu_seconds": run.cpu_seconds,
                 "spans": [asdict(span) for span in run.spans]}
                for run in runs
            ]
            for name, runs in found.runs.items()
        },
    }  # fmt: skip
    rows = [
        (
            *figures.spread(step.name, found.runs[step.name]),
            statistics.median(run.cpu_seconds for run in found.runs[step.name]),
            f"{found.ratio(step, PING if step.nodes == FEW else PING_ALL):.2f}",
        )
        for step in (*STEPS, COPY_LOOP)
    ]
    tokens, listed = found.requests["tokens"], found.requests["pages"]
    text = (
        figures.aims_table(aims) + "\n![Figures and aims](credentials.svg)\n\n"
        f"The vault was asked {tokens + listed} times for {SOURCES:,} sources of one project:"
        f" {tokens} token, {listed} pages of {PAGE}, the last of them empty.\n\n"
        + figures.table(
            (
                "interleaved runs, seconds",
                "median",
                "least",
                "most",
                "runs",
                "CPU here",
                "in pings",
            ),
            rows,
        )
        + "\nCPU here: ansible-playbook and all it started on the controller, without the vault and"
        " the nodes.\n\nMemory of the controller, in MiB:\n\n"
        + figures.table(
            ("run", "largest process", "all processes together"),
            [(name, m["largest"], m["together"]) for name, m in found.memory.items()],
        )
        + "\nTogether: the most that the playbook's processes had at one moment, shared pages"
        " counted once (PSS).\n"
    )
    return raw, text


def drawing(found: Figures) -> str:
    """Return the figures as SVG."""
    shares = [
        chart.Share(aim.what, f"{aim.text(aim.value)} ({aim.row()[2]})", aim.share)
        for aim in found.aims()
    ]
    stacks = []
    for step in STEPS:
        runs = found.runs[step.name]
        middle = min(runs, key=lambda run: abs(run.seconds - found.seconds(step)))
        stacks.append(chart.Stack(step.name, parts_of(middle), [run.seconds for run in runs]))
    return chart.draw("Refresh of credentials: what of the aims is used", shares, stacks, "s")


def measured() -> tuple[tuple[dict[str, Any], str], str]:
    """Make the nodes and the vault, take all runs; return the report and the drawing."""
    runs: dict[str, list[Run]] = {step.name: [] for step in (*STEPS, COPY_LOOP)}
    memory = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="caspian-bench-")))
        (folder / "vault").mkdir()
        vault, fleet = Vault(folder / "vault"), Fleet(folder)
        stack.enter_context(fleet.running(stack.enter_context(vault.running())))
        fleet.take(PING_ALL)  # Opens the connections, which the runs then share.
        for _ in range(ROUNDS):
            for step in STEPS:
                runs[step.name].append(fleet.take(step))
                if step.refreshes:
                    fleet.refuse_unless_delivered(step)
        runs[COPY_LOOP.name].append(fleet.take(COPY_LOOP))
        for step in (AGAIN, AGAIN_MANY, AGAIN_ALL):
            fleet.take(Step(f"again, {step.name}", step.sources, step.nodes, empty=True))
            vault.asked()
            # Looking at the memory costs time, so these runs are not timed.
            peak = PeakMemory()
            fleet.take(step, peak)
            memory[step.name] = {"largest": peak.largest / MIB, "together": peak.together / MIB}
            if step is AGAIN:
                requests = vault.asked()
    found = Figures(runs, requests, memory)
    return report(found), drawing(found)
