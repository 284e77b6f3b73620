# SPDX-License-Identifier: Apache-2.0
"""Specs as pytest sees them: a file, and an item for each of its cases."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr

from rax._laptop import likely_root
from rax._printable import printable
from rax.checking._settings import Settings
from rax.errors import RaxError
from rax.testing._model import Case, Spec
from rax.testing._runner import Chosen, run_cases
from rax.testing._servers import server_of
from rax.testing._specs import SpecError, find, read


def is_spec(file: Path) -> bool:
    """Return whether a file is where a repository has its specs."""
    root = likely_root(file.parent)
    return root is not None and file in find(root)


class SpecFile(pytest.File):
    """The spec of a workflow."""

    def collect(self) -> Iterator["CaseItem"]:
        """Yield the cases."""
        root = likely_root(self.path.parent)
        assert root is not None  # noqa: S101 - is_spec() has looked
        try:
            spec = read(self.path, root)
        except SpecError as error:
            raise self.CollectError(_shown(error)) from None
        seconds = Settings.read(root).flows.max_seconds
        for case in spec.cases:
            yield CaseItem.from_parent(
                self, name=case.name, spec=spec, case=case, max_seconds=seconds
            )


class _DifferentError(Exception):
    """A case is not as its spec has it."""


class CaseItem(pytest.Item):
    """A case of a spec: one item with all its runs, so that pytest-xdist keeps them together."""

    def __init__(self, *, spec: Spec, case: Case, max_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._chosen = Chosen(spec, case)
        self._max_seconds = max_seconds

    def runtest(self) -> None:
        """Run the case, and raise what it differs in."""
        (verdict,) = run_cases(
            server_of(self.config, self.path), [self._chosen], max_seconds=self._max_seconds
        )
        for run in verdict.output.runs:
            if run.log:
                self.add_report_section("call", f"log of {run.kind}", run.log)
        if verdict.output.guard:
            self.add_report_section("call", "guard", verdict.output.guard)
        if verdict.differences:
            raise _DifferentError("\n".join(map(str, verdict.differences)))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        """Return what to show: for what is no error of ours, without Python's steps to it."""
        if isinstance(excinfo.value, _DifferentError | RaxError):
            return _shown(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        """Return where the case is: pytest counts lines from 0."""
        return self.path, self._chosen.case.place.line - 1, self.name


def _shown(error: Exception) -> str:
    return printable(str(error), lines=True)
