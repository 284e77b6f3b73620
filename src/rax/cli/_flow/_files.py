# SPDX-License-Identifier: Apache-2.0
"""What programs get of a run of cases: JUnit for CI, JSON for others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rax._printable import one_line, printable
from rax.checking._writing import remove_report, write_report
from rax.testing._runner import LeftOut, Verdict
from rax.testing._specs import Mistake

_NAME = "rax-flow.xml"
Mistakes = Sequence[Mistake]


def remove_junit(folder: Path) -> None:
    """Take the file of an earlier run away, which CI would read where this one cannot begin.

    :raises CommandError: it cannot be taken away
    """
    remove_report(folder / _NAME)


def write_junit(
    folder: Path, verdicts: Sequence[Verdict], mistakes: Mistakes, left_out: Sequence[LeftOut] = ()
) -> None:
    """Write a case of JUnit for each case, and one for each spec that cannot be read.

    :raises CommandError: it cannot be written
    """
    root = Element("testsuites")
    suite = SubElement(
        root,
        "testsuite",
        name="rax flow",
        tests=str(len(verdicts) + len(left_out) + len(_by_file(mistakes))),
        failures=str(sum(bool(one.differences) for one in verdicts)),
        errors=str(len(_by_file(mistakes))),
        skipped=str(len(left_out)),
        time=f"{sum(one.seconds for one in verdicts):.3f}",
    )
    for verdict in verdicts:
        case = _case(suite, verdict.chosen.spec.place.file, verdict.chosen.case.name)
        case.set("time", f"{verdict.seconds:.3f}")
        if verdict.differences:
            message = one_line(verdict.differences[0].headline)
            text = "\n".join(printable(str(one), lines=True) for one in verdict.differences)
            SubElement(case, "failure", message=message).text = text
    for one in left_out:
        case = _case(suite, one.chosen.spec.place.file, one.chosen.case.name)
        SubElement(case, "skipped", message=one_line(one.reason))
    for file, texts in _by_file(mistakes).items():
        error = SubElement(_case(suite, file, "the spec"), "error", message=one_line(texts[0]))
        error.text = "\n".join(printable(text, lines=True) for text in texts)
    document = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    write_report(folder / _NAME, document)


def as_json(
    verdicts: Sequence[Verdict], mistakes: Mistakes, left_out: Sequence[LeftOut] = ()
) -> dict[str, Any]:
    """Return the same for ``--json``."""
    return {
        "cases": [_told(verdict) for verdict in verdicts],
        "skipped": [{"id": one.chosen.id, "reason": one.reason} for one in left_out],
        "mistakes": [
            {"file": place.file, "line": place.line, "text": text} for place, text in mistakes
        ],
    }


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.chosen.id,
        "workflow": verdict.chosen.spec.workflow,
        "state": "failed" if verdict.differences else "passed",
        "seconds": round(verdict.seconds, 3),
        "runs": [run.kind for run in verdict.output.runs],
        "guard": verdict.output.guard,
        "notes": [*verdict.output.notes],
        "differences": [
            {
                "file": one.place.file,
                "line": one.place.line,
                "run": one.run,
                "subject": one.subject,
                "kind": one.kind,
                "text": one.text,
            }
            for one in verdict.differences
        ],
    }


def _case(suite: Element, file: str, name: str) -> Element:
    return SubElement(suite, "testcase", classname=printable(file), name=printable(name))


def _by_file(mistakes: Mistakes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in mistakes:
        found.setdefault(one.place.file, []).append(str(one))
    return found
