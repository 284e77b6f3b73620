# SPDX-License-Identifier: Apache-2.0
"""What a person sees of a run of cases: what runs now, a verdict for each, and how many passed."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rax._layout import BOLD, DIM, ERASED, GREEN, RED, YELLOW, cut, painted
from rax._printable import one_line, printable
from rax.checking._finding import count
from rax.cli._output import has_colours, is_terminal, terminal_columns
from rax.testing._model import RunKind, TaskKey
from rax.testing._runner import Chosen, LeftOut, Progress, Verdict
from rax.testing._specs import Mistake

_INDENT = "    "


class Tally(NamedTuple):
    """How many cases passed, failed and were not run, and how many specs cannot be read."""

    passed: int = 0
    failed: int = 0
    unreadable: int = 0
    left_out: int = 0


class Quiet(Progress):
    """Shows nothing, where a program reads what comes at the end."""

    def begin(self, text: str) -> None:
        """Hear what is done now."""

    def verdict(self, verdict: Verdict) -> None:
        """Hear how a case has ended."""

    def left_out(self, one: LeftOut) -> None:
        """Hear which case is not run, and why."""

    def note(self, text: str) -> None:
        """Hear what a reader has to know at the end."""

    def mistakes(self, mistakes: Sequence[Mistake]) -> None:
        """Hear what is wrong with specs."""

    def end(self, tally: Tally, seconds: float) -> None:
        """Hear that no further case runs."""


class Terminal(Quiet):
    """Shows what happens as it happens."""

    def __init__(self, *, logs: bool) -> None:
        self._logs = logs
        self._colours = has_colours()
        self._runs_now = ""
        self._notes: dict[str, None] = {}

    def begin(self, text: str) -> None:
        """Show what is done now, in a line that the next one is written over."""
        self._runs_now = text
        self._show(text)

    def ready(self, seconds: float) -> None:
        """Show how long Airflow took to start, which is no part of any case."""
        self._write(self._paint(DIM, f"Airflow is ready after {seconds:.1f} s"))

    def case(self, chosen: Chosen) -> None:
        """Show which case runs."""
        self.begin(f"{chosen.id} …")

    def task(self, kind: RunKind, key: TaskKey) -> None:
        """Show which task of it runs."""
        self._show(f"{self._runs_now} {kind}: {key}")

    def waits(self, kind: RunKind, text: str) -> None:
        """Show what a run of it waits for."""
        self._show(f"{self._runs_now} {kind}: {text}")

    def verdict(self, verdict: Verdict) -> None:
        """Show how a case has ended, and in what it differs."""
        is_good = not verdict.differences
        word = self._paint(GREEN, "passed") if is_good else self._paint(RED, "FAILED")
        runs = ", ".join(run.kind for run in verdict.output.runs) or "no run"
        told = f"  ({runs}; {verdict.seconds:.1f} s)"
        self._write(f"{word}  {printable(verdict.chosen.id)}{self._paint(DIM, told)}")
        for difference in verdict.differences:
            where = self._paint(BOLD, printable(f"{difference.place}:"))
            self._write(f"  {where} {one_line(difference.headline)}")
            for line in difference.details:
                self._write(f"{_INDENT}{printable(line)}")
        for run in verdict.output.runs if self._logs else ():
            self._write(self._paint(DIM, f"  log of {run.kind}:"))
            for line in run.log.splitlines():
                self._write(f"{_INDENT}{printable(line)}")
        for note in verdict.output.notes:
            self._write(self._paint(DIM, f"{_INDENT}{one_line(note)}"))
        if verdict.output.guard:
            self.note(verdict.output.guard)

    def left_out(self, one: LeftOut) -> None:
        """Show which case is not run, and why."""
        told = self._paint(DIM, f"  ({one_line(one.reason)})")
        self._write(f"{self._paint(YELLOW, 'skipped')} {printable(one.chosen.id)}{told}")

    def note(self, text: str) -> None:
        """Keep what a reader has to know for the end."""
        self._notes[text] = None

    def mistakes(self, mistakes: Sequence[Mistake]) -> None:
        """Show what is wrong with specs."""
        for place, text in mistakes:
            where = self._paint(BOLD, printable(f"{place}:"))
            self._write(f"{where} {printable(text, lines=True)}")

    def problem(self, text: str) -> None:
        """Show why nothing could be run."""
        self._write(f"{self._paint(RED, 'could not be done')}: {one_line(text)}")

    def edited(self, what: str) -> None:
        """Show what has been edited, after which all runs again."""
        self._write(f"\n{self._paint(BOLD, one_line(what))} has changed")

    def end(self, tally: Tally, seconds: float) -> None:
        """Show the last line, and what a reader has to know of the machine."""
        for note in self._notes:
            self._write(f"{self._paint(YELLOW, 'note')}: {one_line(note)}")
        self._notes.clear()
        is_good = not tally.failed and not tally.unreadable
        text = self._paint(GREEN if is_good else RED, ", ".join(_counts(tally)))
        self._write(f"{text} in {seconds:.1f} s")

    def erase(self) -> None:
        """Take away the line of what runs now."""
        if is_terminal():
            sys.stdout.write(ERASED)
            sys.stdout.flush()

    def _show(self, text: str) -> None:
        if is_terminal():
            shown = cut(one_line(text), (terminal_columns() or 80) - 1)
            sys.stdout.write(f"{ERASED}{self._paint(DIM, shown)}\r")
            sys.stdout.flush()

    def _write(self, line: str) -> None:
        sys.stdout.write(f"{ERASED * is_terminal()}{line}\n")
        sys.stdout.flush()

    def _paint(self, colour: str, text: str) -> str:
        return painted(colour, text) if self._colours else text


def _counts(tally: Tally) -> Iterator[str]:
    if tally.passed or not tally.failed:
        yield f"{count(tally.passed, 'case')} passed"
    if tally.failed:
        yield f"{tally.failed} failed" if tally.passed else f"{count(tally.failed, 'case')} failed"
    if tally.left_out:
        yield f"{tally.left_out} skipped"
    if tally.unreadable:
        yield f"{count(tally.unreadable, 'spec')} cannot be read"
