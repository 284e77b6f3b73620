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

from benchmarks import figures, measure
from benchmarks.aims import figures_of
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
from benchmarks.figures import Report
from benchmarks.measure import Run
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

    def values(self) -> dict[str, float]:
        """Return the figures that have an aim."""
        per_source = self.seconds(FIRST) / SOURCES
        return {
            "first": self.ratio(FIRST, PING),
            "unchanged": self.ratio(AGAIN, PING),
            "first_30": self.ratio(FIRST_ALL, PING_ALL),
            "unchanged_30": self.ratio(AGAIN_ALL, PING_ALL),
            "many_first": self.ratio(FIRST_MANY, FIRST),
            "many_unchanged": self.ratio(AGAIN_MANY, AGAIN),
            "loop": self.seconds(COPY_LOOP) / COPIED / per_source,
            "requests": sum(self.requests.values()),
        }


def pages(sources: int) -> int:
    """Return how many pages a listing has, with the empty one that ends it."""
    return math.ceil(sources / PAGE) + 1


def report(found: Figures) -> Report:
    """Return what was found."""
    raw = {
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
    return Report("credentials", figures_of("credentials", found.values()), raw, text)


def measured() -> Report:
    """Make the nodes and the vault, take all runs, and return the report."""
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
    return report(Figures(runs, requests, memory))
