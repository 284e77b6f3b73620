# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, the tables of them, and the reports that are written."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Run


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
    return f"{value:,.1f}" if isinstance(value, float) else str(value).replace("|", "\\|")


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


def spread(name: str, runs: Sequence[Run]) -> tuple[str, float, float, float, int]:
    """Return (name, median, least, most, count) of the runs' seconds."""
    seconds = [run.seconds for run in runs]
    return name, statistics.median(seconds), min(seconds), max(seconds), len(runs)


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


FEW_ROUNDS = "**Few rounds** (`--quick`): these figures are no measure.\n\n"


def ratio(what: Sequence[float], base: Sequence[float]) -> float:
    """Return how much longer something took: the median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(what, base, strict=True))


def ways_table(title: str, unit: float, seconds: Mapping[str, Sequence[float]], base: str) -> str:
    """Return a table of ways to do the same, in parts of a second and to one of them."""
    rows = []
    for name, values in seconds.items():
        shown = (statistics.median(values), min(values), max(values))
        times = ratio(values, seconds[base])
        to_base = f"{times:,.2f}" if times > 0.1 else f"{times:.2g}"
        rows.append((name, *(value * unit for value in shown), len(values), to_base))
    return table((title, "median", "least", "most", "rounds", f"to {base}"), rows)


def aims_table(aims: Sequence[Aim]) -> str:
    """Return a table of figures that have an aim."""
    return table(("what", "measured", "aim", ""), [aim.row() for aim in aims])


def raw_aims(aims: Sequence[Aim]) -> list[dict[str, Any]]:
    """Return figures that have an aim as they are written to count with."""
    return [asdict(aim) | {"met": aim.share <= 1} for aim in aims]
