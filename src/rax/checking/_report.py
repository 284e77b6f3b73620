# SPDX-License-Identifier: Apache-2.0
"""What a check found, for a person at a terminal: what is wrong by file and line, and a verdict."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rax._layout import BOLD, DIM, GREEN, RED, YELLOW, painted, width
from rax._printable import one_line, printable
from rax.checking._finding import Finding, count
from rax.checking._stages import STAGES, Result, Stage

# Of one rule; what is beyond is counted.
MAX_SHOWN = 20
_MAX_PROBLEM_CHARACTERS = 500
_TITLE_WIDTH = max(width(stage.title) for stage in STAGES) + 2


class Terminal:
    """Writes reports, in colours if they are wanted.

    What it returns is fit to be shown: the texts of findings are made printable here.
    """

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def progress(self, stage: Stage) -> str:
        """Return what says that a stage runs, until a line is written over it."""
        return self._paint(DIM, f"{stage.title} …") + "\r"

    def stage(self, result: Result) -> str:
        """Return what a stage found, and then a line with how it ended."""
        lines = [line for one in shown(result.outcome.findings) for line in self._finding(one)]
        lines += [self._paint(DIM, line) for line in left_out(result.outcome.findings)]
        return "".join(f"{line}\n" for line in [*lines, self._ending(result)])

    def verdict(self, results: Sequence[Result]) -> str:
        """Return the last line."""
        colour, text = verdict(results)
        return f"{self._paint(colour, text)}\n"

    def _finding(self, finding: Finding) -> Iterator[str]:
        where = self._paint(BOLD, f"{place(finding)}:") if finding.file else ""
        rule = self._paint(YELLOW if finding.warning else RED, finding.rule)
        kind = "warning: " if finding.warning else ""
        yield f"{where} {rule} {kind}{sentence(finding.problem)}".lstrip()
        yield from (f"    {sentence(line)}" for line in finding.details)
        if finding.advice:
            yield f"    → {sentence(finding.advice)}"

    def _ending(self, result: Result) -> str:
        title = result.stage.title.ljust(_TITLE_WIDTH)
        if result.failed:
            return f"{title}{self._paint(RED, 'could not be done')}: {sentence(result.failed)}"
        if result.outcome.skipped:
            return f"{title}{self._paint(DIM, 'skipped')}: {sentence(result.outcome.skipped)}"
        colour = RED if result.problems else YELLOW if result.warnings else GREEN
        found = self._paint(colour, tally(result.problems, result.warnings))
        return f"{title}{found} in {one_line(result.outcome.looked_at)}, {result.seconds:.1f} s"

    def _paint(self, colour: str, text: str) -> str:
        return painted(colour, text) if self._colours else text


def verdict(results: Sequence[Result]) -> tuple[str, str]:
    """Return the colour of the verdict on all stages, and its words."""
    problems = [one for result in results for one in result.problems]
    warnings = [one for result in results for one in result.warnings]
    failed = [result.stage.title for result in results if result.failed]
    text = tally(problems, warnings)
    if failed:
        return RED, f"{text}, and it could not all be done: {', '.join(failed)}"
    if problems:
        return RED, f"{text}: not ready to be merged"
    return YELLOW if warnings else GREEN, f"{text}: ready to be merged"


def tally(problems: Sequence[Finding], warnings: Sequence[Finding]) -> str:
    """Return how many there are, in words."""
    found = [count(len(problems), "problem")] if problems else []
    found += [count(len(warnings), "warning")] if warnings else []
    return " and ".join(found) or "no problem"


def shown(findings: Sequence[Finding]) -> list[Finding]:
    """Return the first MAX_SHOWN findings of each rule."""
    seen: Counter[str] = Counter()
    kept = []
    for finding in findings:
        seen[finding.rule] += 1
        if seen[finding.rule] <= MAX_SHOWN:
            kept.append(finding)
    return kept


def left_out(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each rule that has more findings than are shown."""
    totals = Counter(finding.rule for finding in findings)
    return [
        f"… and {total - MAX_SHOWN:,} more of {rule}"
        for rule, total in sorted(totals.items())
        if total > MAX_SHOWN
    ]


def place(finding: Finding) -> str:
    """Return file and line as editors understand them."""
    return printable(finding.file) + (f":{finding.line}" if finding.line else "")


def sentence(text: str) -> str:
    """Return a text of a finding as one line."""
    return one_line(text, _MAX_PROBLEM_CHARACTERS)
