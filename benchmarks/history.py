# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of benchmarks/README.md: each figure's last values, with the commits they belong to.

They are kept nowhere else. Values of a busy machine are marked.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.aims import AIMS, Aim
from benchmarks.figures import Report
from benchmarks.measure import HERE, BenchError

README = HERE / "README.md"
BEGIN = "<!-- scripts/bench writes what follows -->\n"
END = "<!-- scripts/bench writes what is above -->\n"
KEPT = 3
HEADER = ("part", "figure", "aim", "last", "before", "and before")
BUSY = ", busy"
CELL = re.compile(
    r"(?P<number>\d[\d,]*(\.\d+)?)(?P<unit>×| pings| s| ms|)"
    r" \((?P<commit>[0-9a-f]{7,40}), (?P<date>\d{4}-\d\d-\d\d)(?P<busy>, busy)?\)"
)


@dataclass(frozen=True)
class Value:
    """What a figure was at a commit."""

    number: float
    commit: str
    date: str
    busy: bool = False

    def text(self, aim: Aim) -> str:
        """Return the value as a cell of the table."""
        return f"{aim.text(self.number)} ({self.commit}, {self.date}{BUSY if self.busy else ''})"


# The values of each figure, the newest first, by its part and its name there.
History = dict[tuple[str, str], list[Value]]


def read(text: str, where: str) -> History:
    """Return the values that the tables of a page have.

    Raises BenchError, which names the page and the cell, where one is not as it is written here.
    """
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in _between(text, where).splitlines()
        if line.startswith("|")
    ]
    by_words = {(part, aim.what): (part, name) for part, name, aim in _all_aims()}
    return {
        by_words[part, what]: [_value(cell, where) for cell in cells if cell]
        for part, what, _, *cells in (row for row in rows if len(row) == len(HEADER))
        if (part, what) in by_words
    }


def _between(text: str, where: str) -> str:
    _, begin, rest = text.partition(BEGIN)
    tables, end, _ = rest.partition(END)
    if not (begin and end):
        raise BenchError(f"{where} lacks the lines between which the figures stand:\n{BEGIN}{END}")
    return tables


def _value(cell: str, where: str) -> Value:
    if not (found := CELL.fullmatch(cell)):
        raise BenchError(
            f"{where} has a figure that is not of the form VALUE (COMMIT, DATE): {cell}"
        )
    number = float(found["number"].replace(",", ""))
    return Value(number, found["commit"], found["date"], bool(found["busy"]))


def _all_aims() -> list[tuple[str, str, Aim]]:
    return [(part, name, aim) for part, aims in AIMS.items() for name, aim in aims.items()]


def with_value(values: Sequence[Value], new: Value) -> list[Value]:
    """Return the values with a new one, which takes the place of an older one of its commit."""
    return [new, *(value for value in values if value.commit != new.commit)][:KEPT]


def tables(history: History) -> str:
    """Return the tables: the values of each figure, and what it can't go beyond."""
    rows, bounds = [], []
    for part, name, aim in _all_aims():
        cells = [value.text(aim) for value in history.get((part, name), [])]
        rows.append((part, aim.what, aim.limit_text, *cells, *[""] * (KEPT - len(cells))))
        if aim.bound:
            bounds.append((part, aim.what, aim.bound))
    return (
        figures.table(HEADER, rows)
        + "\nNo program gets beyond this:\n\n"
        + figures.table(("part", "figure", "at best"), bounds)
    )


def with_tables(text: str, history: History) -> str:
    """Return a page with these tables in the place of those that it has."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(history)}\n{END}{after}"


def enter(page: Path, machine: Mapping[str, Any], reports: Sequence[Report]) -> None:
    """Enter the values of reports into the tables of a page."""
    history = read(text := page.read_text(), page.name)
    for report in reports:
        for name, figure in report.figures.items():
            busy = bool(figures.busy(machine))
            new = Value(figure.value, machine["commit"], machine["date"], busy)
            key = report.part, name
            history[key] = with_value(history.get(key, []), new)
    _replace(page, with_tables(text, history))


def _replace(page: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=page.parent, delete=False) as new:
        new.write(text)
    Path(new.name).chmod(page.stat().st_mode)
    Path(new.name).replace(page)


if __name__ == "__main__":
    enter(README, {}, [])  # The tables with the aims of today.
