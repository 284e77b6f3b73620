# SPDX-License-Identifier: Apache-2.0
"""The stages of a check, cheapest first."""

import time
from collections.abc import Callable
from typing import NamedTuple

from rax.checking import _dags, _files, _flows, _tests
from rax.checking._finding import Finding, Outcome
from rax.checking._project import Project
from rax.errors import RaxError

__all__ = ["FAST", "STAGES", "Finding", "Outcome", "Result", "Stage", "run"]


class Stage(NamedTuple):
    """One of the stages: its short name, what people call it, and what it does."""

    name: str
    title: str
    run: Callable[[Project], Outcome]


class Result(NamedTuple):
    """How a stage ended."""

    stage: Stage
    outcome: Outcome
    seconds: float
    # Why it could not be done, if so.
    failed: str = ""

    @property
    def problems(self) -> list[Finding]:
        """What must not be merged."""
        return [finding for finding in self.outcome.findings if not finding.warning]

    @property
    def warnings(self) -> list[Finding]:
        """What is worth a look."""
        return [finding for finding in self.outcome.findings if finding.warning]


STAGES = (
    Stage("files", "Files", _files.check),
    Stage("dags", "DAGs", _dags.check),
    Stage("tests", "Tests", _tests.check),
    Stage("flows", "Flows", _flows.check),
)
# Those that are quick enough for each commit.
FAST = ("files", "dags")


def run(project: Project, stage: Stage) -> Result:
    """Run a stage, which need not know what those before it found."""
    began = time.monotonic()
    failed, outcome = "", Outcome([], "")
    try:
        outcome = stage.run(project)
    except RaxError as error:
        failed = str(error)
    findings = sorted(set(outcome.findings))
    project.found += findings
    return Result(stage, outcome._replace(findings=findings), time.monotonic() - began, failed)
