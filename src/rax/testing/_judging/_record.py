# SPDX-License-Identifier: Apache-2.0
"""Goldens: what cases gave is written to where their specs name it, for people to review."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rax.checking._writing import write_report
from rax.testing._judging._difference import Difference, Kind
from rax.testing._judging._judge import judge
from rax.testing._judging._masking import Mask
from rax.testing._judging._tasks import NOTHING, instances, question
from rax.testing._judging._texts import value
from rax.testing._model import UNSET, Case, Content, Expectation, Place, RunKind, TaskExpectation
from rax.testing._outputs import Captured, CaseOutput, RunOutput, TaskOutput

# Differences of a case of which nothing can be recorded.
_NOT_AS_EXPECTED = (Kind.TROUBLE, Kind.DENIED, Kind.STATE, Kind.UNKNOWN_TASK)
_CONTENTS = (Kind.TABLE, Kind.FILE)
# A longer one is no line of a spec.
_MAX_RETURNED_CHARACTERS = 300


class Advice(NamedTuple):
    """What an author may add to a spec, where record() writes nothing."""

    place: Place
    text: str


class Recording(NamedTuple):
    """What became of the goldens."""

    # Those that are new, or were others.
    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    # Why the goldens of a case, or one of them, were left as they are.
    refused: tuple[Difference, ...]
    # What tasks have returned of which the spec does not say what: no file, but a line of the spec,
    # without that which is another one in each run.
    advice: tuple[Advice, ...]


def record(cases: Iterable[tuple[Case, CaseOutput]]) -> Recording:
    """Write the goldens of these cases, those that differ, each as a whole or not at all.

    A case that did not end as expected, or whose further runs gave something else than the first,
    is left out; so is a golden of which two places have found different contents.

    :raises CommandError: one cannot be written
    """
    found: dict[Path, list[_Found]] = {}
    refused: list[Difference] = []
    advice: dict[Advice, None] = {}
    for case, output in cases:
        if reasons := [one for one in judge(case, output) if _is_reason(one)]:
            refused += reasons
            continue
        for one in _goldens(case, output):
            found.setdefault(one.path, []).append(one)
        advice |= dict.fromkeys(_advice(case, output))
    written, kept = [], []
    for path, places in sorted(found.items()):
        if problem := _problem(places):
            refused.append(problem)
        elif _is_there(path, places[0].content):
            kept.append(path)
        else:
            write_report(path, places[0].content)
            written.append(path)
    return Recording(tuple(written), tuple(kept), tuple(refused), tuple(advice))


class _Found(NamedTuple):
    """What was found at a place whose golden this is."""

    path: Path
    content: bytes
    # Why there is nothing, if so.
    error: str
    told: Difference


def _is_reason(one: Difference) -> bool:
    """Return whether nothing can be recorded of a case with this difference."""
    return one.kind in _NOT_AS_EXPECTED or (one.kind in _CONTENTS and one.run != RunKind.ONCE)


def _goldens(case: Case, output: CaseOutput) -> Iterator[_Found]:
    fit = Mask(case.given)
    for run in output.runs:
        expected = case.runs[run.kind]
        for kind, subject, content, captured in _contents(expected, run):
            if content.golden is not None:
                told = Difference(content.place, run.kind, fit(subject), "", kind)
                error = "" if captured.content is not None else captured.error or "is not there"
                yield _Found(content.golden, captured.content or b"", fit(error), told)


def _contents(
    expected: Expectation, run: RunOutput
) -> Iterator[tuple[Kind, str, Content, Captured]]:
    places: list[tuple[str, Expectation | TaskExpectation, RunOutput | TaskOutput]]
    places = [("", expected, run)]
    for one in expected.tasks:
        places += [(f"{task.key}: ", one, task) for task in instances(one, run)[0]]
    for subject, wanted, found in places:
        for query, content in wanted.tables.items():
            captured = found.tables.get(query, NOTHING)
            yield Kind.TABLE, subject + question(query), content, captured
        for name, content in wanted.files.items():
            yield Kind.FILE, subject + name, content, found.files.get(name, NOTHING)


def _problem(places: list[_Found]) -> Difference | None:
    """Return why this golden cannot be written, if so."""
    first = places[0]
    for one in places:
        if one.error:
            return replace(one.told, text=f"nothing to write into {one.path.name}: {one.error}")
        if one.content != first.content:
            where = f"{first.told.place}: {first.told.run}: {first.told.subject}"
            text = f"{one.path.name} would need another content than for {where}: name another file"
            return replace(one.told, text=text)
    return None


def _advice(case: Case, output: CaseOutput) -> Iterator[Advice]:
    fit = Mask(case.given)
    for run in output.runs[:1]:
        for expected in case.runs[run.kind].tasks:
            if expected.returns is not UNSET or expected.unverified:
                continue
            for task in instances(expected, run)[0]:
                if task.returned is not UNSET and task.returned is not None:
                    text = fit(value(task.returned))
                    if len(text) <= _MAX_RETURNED_CHARACTERS:
                        yield Advice(expected.place, f"{task.key} has returned: {text}")


def _is_there(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
