# SPDX-License-Identifier: Apache-2.0
"""What a check found, as the JUnit files that Jenkins, GitLab and others show.

A stage is a file, and what it looked at are its cases, so that none is empty: CI takes a file
without cases for a run that did not happen.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rax._printable import printable
from rax.checking import _stages
from rax.checking._finding import Finding
from rax.checking._report import place, sentence
from rax.checking._stages import Result
from rax.checking._writing import remove_report, write_report

# The case of what is about the repository as a whole.
_WHOLE = "the repository"


def remove(folder: Path) -> None:
    """Take the files of an earlier check away, which CI would read where this one cannot begin.

    :raises CommandError: one cannot be taken away
    """
    for stage in _stages.STAGES:
        remove_report(_path(folder, stage.name))


def write(folder: Path, results: list[Result]) -> None:
    """Write a file for each stage that ran.

    :raises CommandError: one cannot be written
    """
    for result in results:
        content = ElementTree.tostring(_suite(result), encoding="utf-8", xml_declaration=True)
        own = result.outcome.junit
        write_report(_path(folder, result.stage.name), own if _has_cases(own) else content)


def _has_cases(document: bytes) -> bool:
    """Return whether a document is JUnit, and not without cases."""
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - of a pytest that we ran
    except ElementTree.ParseError:
        return False
    return root.tag in ("testsuites", "testsuite") and root.find(".//testcase") is not None


def _path(folder: Path, name: str) -> Path:
    return folder / f"rax-check-{name}.xml"


def _suite(result: Result) -> Element:
    cases = [*_cases(result)]
    root = Element("testsuites")
    suite = SubElement(
        root,
        "testsuite",
        name=f"rax check: {result.stage.title}",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{result.seconds:.3f}",
    )
    suite.extend(cases)
    return root


def _cases(result: Result) -> Iterator[Element]:
    findings: dict[str, list[Finding]] = {name: [] for name in result.outcome.names}
    for finding in result.outcome.findings:
        findings.setdefault(finding.item or finding.file, []).append(finding)
    if result.failed or result.outcome.skipped or not findings:
        yield _whole(result)
    for name, found in findings.items():
        case = _case(result, name or _WHOLE)
        # A case has one failure: of a second one, nobody shows anything.
        if problems := [finding for finding in found if not finding.warning]:
            message = sentence(problems[0].problem)
            rule = printable(problems[0].rule)
            SubElement(case, "failure", type=rule, message=message).text = _text(problems)
        if warnings := [finding for finding in found if finding.warning]:
            SubElement(case, "system-out").text = _text(warnings)
        yield case


def _text(findings: list[Finding]) -> str:
    lines = []
    for finding in findings:
        kind = "warning: " if finding.warning else ""
        where = place(finding) or _WHOLE
        lines.append(f"{where}: {printable(finding.rule)} {kind}{sentence(finding.problem)}\n")
        lines += [f"    {sentence(line)}\n" for line in finding.details]
        lines += [f"→ {sentence(finding.advice)}\n"] if finding.advice else []
    return "".join(lines)


def _whole(result: Result) -> Element:
    """Return the case of a stage that has no other, or that did not end."""
    case = _case(result, _WHOLE)
    if result.failed:
        SubElement(case, "error", message=sentence(result.failed))
    elif result.outcome.skipped:
        SubElement(case, "skipped", message=sentence(result.outcome.skipped))
    return case


def _case(result: Result, name: str) -> Element:
    return Element("testcase", classname=f"rax.check.{result.stage.name}", name=printable(name))
