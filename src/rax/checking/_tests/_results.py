# SPDX-License-Identifier: Apache-2.0
"""The report of pytest: tests with their names, and what became of them."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from rax.checking._finding import Finding
from rax.checking._project import Project

# A report with more is none of tests that people wrote.
_MAX_BYTES = 200_000_000
_MAX_REASON_CHARACTERS = 300
# Where pytest shows that a line raised: "tests/test_a.py:12: AssertionError".
_PLACE = re.compile(r"^(\S+\.py):(\d+): ", re.MULTILINE)
_REASON = re.compile(r"^E +(.*)$", re.MULTILINE)


class FormError(Exception):
    """The report is none."""


class Result(NamedTuple):
    """A test, and what became of it."""

    # As pytest calls it, "tests/test_a.py::ATest::test_x"; of a parameter, without its values.
    name: str
    file: str
    # From 1; 0 where that is not known.
    line: int
    # Why it failed, or could not be collected; "" where it did not.
    trouble: str = ""
    # What pytest says of that besides.
    details: str = ""


def read(content: bytes) -> list[Result]:
    """Return the tests of a report.

    :raises FormError: it is none
    """
    # A declaration of a type could make of a few bytes very many.
    if len(content) > _MAX_BYTES or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise FormError
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - it declares no entities, see above
    except ElementTree.ParseError:
        raise FormError from None
    if root.tag not in ("testsuites", "testsuite"):
        raise FormError
    return [_result(case) for case in root.iter("testcase")]


def findings(results: list[Result], project: Project) -> Iterator[Finding]:
    """Say which tests have failed, each at the line of the repository that shows it."""
    for result in results:
        if result.trouble:
            own = set(project.files)
            places = [place for place in _PLACE.findall(result.details) if place[0] in own]
            file, line = (places[-1][0], int(places[-1][1])) if places else result[1:3]
            name = result.name.rpartition("::")[2] or result.name
            problem = f"{name} {result.trouble}: {_reason(result.details)}".removesuffix(": ")
            yield Finding(file if file in own else "", line if file in own else 0, "test", problem)


def _result(case: ElementTree.Element) -> Result:
    file, name = case.get("file", ""), case.get("name", "")
    names = [part for part in (case.get("classname", "").split("."), name) if part]
    module = file.removesuffix(".py").replace("/", ".")
    classes = case.get("classname", "").removeprefix(module).strip(".").split(".")
    whole = "::".join([file, *filter(None, classes), name.partition("[")[0]]) if names else file
    line = case.get("line", "")
    number = int(line) + 1 if line.isascii() and line.isdigit() and len(line) < 9 else 0
    for kind, trouble in (("failure", "failed"), ("error", "could not be run")):
        if (found := case.find(kind)) is not None:
            details = f"{found.text or ''}"
            return Result(whole, file, number, trouble, details or found.get("message", ""))
    return Result(whole, file, number)


def _reason(details: str) -> str:
    found = _REASON.search(details)
    text = found[1] if found else details.strip().partition("\n")[0]
    return text.strip()[:_MAX_REASON_CHARACTERS]
