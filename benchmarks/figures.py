# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, the tables of them, and the reports that are written."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.aims import AIMS, Figure
from benchmarks.measure import Run


@dataclass(frozen=True)
class Report:
    """What a part of the benchmarks has found."""

    part: str
    figures: Mapping[str, Figure]
    raw: Mapping[str, Any]  # To count with.
    text: str  # To read, without the figures that have an aim.
    quick: bool = False

    @property
    def missed(self) -> list[Figure]:
        """The figures that are not what they should be."""
        return [figure for figure in self.figures.values() if not figure.met]


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
        f"{machine['date']}, commit {machine['commit']}"
        f"{', with changes' if machine['dirty'] else ''}: {machine['cores']} cores,"
        f" {machine['memory_gib']} GiB, {machine['engine']},"
        f" ansible-core {machine['ansible_core']}, load {machine['load']:.1f} before the start."
    )


def spread(name: str, runs: Sequence[Run]) -> tuple[str, float, float, float, int]:
    """Return (name, median, least, most, count) of the runs' seconds."""
    seconds = [run.seconds for run in runs]
    return name, statistics.median(seconds), min(seconds), max(seconds), len(runs)


def write(folder: Path, machine: Mapping[str, Any], report: Report) -> None:
    """Write a report as JSON and as Markdown, and print the latter."""
    parts = (
        f"# {report.part}",
        machine_line(machine),
        busy(machine),
        FEW_ROUNDS if report.quick else "",
        table(("what", "measured", "aim", ""), [one.row() for one in report.figures.values()]),
    )
    text = "\n\n".join(filter(None, parts)) + "\n" + report.text
    raw = {"benchmark": report.part, "quick": report.quick, "machine": machine} | {
        "figures": {
            name: asdict(figure) | {"met": figure.met} for name, figure in report.figures.items()
        },
        **report.raw,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.part}.md").write_text(text)
    (folder / f"{report.part}.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(f"\n{text}")


def summary(reports: Sequence[Report]) -> str:
    """Return which aims were missed, and which parts of the benchmarks were not measured."""
    missed = [(report.part, *figure.row()[:3]) for report in reports for figure in report.missed]
    lines = [f"Missed aims: {len(missed)} of {sum(len(report.figures) for report in reports)}.\n"]
    if missed:
        lines.append(table(("part", "what", "measured", "aim"), missed))
    measured = {report.part for report in reports}
    if left := [part for part in AIMS if part not in measured]:
        lines.append(f"Not measured: {', '.join(left)}.\n")
    return "\n".join(lines)


FEW_ROUNDS = "**Few rounds** (`--quick`): these figures are no measure."


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
