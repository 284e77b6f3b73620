# SPDX-License-Identifier: Apache-2.0
"""What stage 4 does: it runs all cases, and says what the specs do not cover."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rax.checking._finding import Finding, Outcome, count
from rax.checking._flows import _gate, _orphans
from rax.checking._flows._coverage import Coverage
from rax.checking._project import Project
from rax.testing._engine import Server
from rax.testing._judging import Difference, Kind
from rax.testing._model import RunKind, Spec
from rax.testing._runner import Chosen, Verdict, run_cases
from rax.testing._specs import FOLDER, SUFFIX, SpecError, find, read

_SPEC = "flow-spec"
_RECORD = "where this is what is meant: ./rax flow record writes it, and git diff shows it"


def check(project: Project) -> Outcome:
    """Run the cases of a repository, and look at what their specs leave out.

    :raises CommandError: Airflow cannot be started
    """
    nothing = count(0, "case")
    if project.changed is not None and not any(map(_matters, project.changed)):
        return Outcome([], nothing, "nothing has changed that workflows read")
    stage = _Stage(project)
    if not stage.files and not stage.known:
        return Outcome([], nothing, "there is no workflow yet")
    return stage.outcome()


def _matters(file: str) -> bool:
    """Return whether a workflow may do something else than before this file changed."""
    if file.startswith("tests/"):
        return file.startswith(f"{FOLDER}/")
    return not file.endswith(".md")


class _Stage:
    """One run of the stage."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = project.settings.flows
        self.findings: list[Finding] = []
        self.specs: list[Spec] = []
        self.files = find(project.root)
        self.unreadable: set[str] = set()
        for file in self.files:
            self._read(file)
        # With the file of each.
        self.known = [
            (file, Coverage(dag, [spec for spec in self.specs if spec.workflow == dag.id]))
            for file, dag in project.dags or ()
        ]

    def outcome(self) -> Outcome:
        """Run the cases, and return what was found."""
        self._look_at_specs()
        chosen = [Chosen(spec, case) for spec in self._runnable() for case in spec.cases]
        guards = set()
        for verdict in self._verdicts(chosen):
            self.findings += _of_verdict(verdict)
            guards.add(verdict.output.guard)
        workflows = {one.spec.workflow for one in chosen}
        looked_at = f"{count(len(chosen), 'case')} of {count(len(workflows), 'workflow')}"
        return Outcome(
            self.findings,
            # Whoever reads the verdict has to know which guard it comes from.
            "; ".join([looked_at, *sorted(guards - {""})]),
            names=tuple(one.id for one in chosen),
            table=_gate.table([one for _file, one in self.known], dict(self.settings.unverified)),
        )

    def _read(self, file: Path) -> None:
        try:
            self.specs.append(read(file, self.project.root))
        except SpecError as error:
            self.unreadable.add(file.name.removesuffix(SUFFIX))
            self.findings += [
                Finding(one.place.file, one.place.line, _SPEC, one.text) for one in error.mistakes
            ]

    def _look_at_specs(self) -> None:
        reasons = dict(self.settings.unverified)
        workflows = [one for _file, one in self.known if one.dag.summary]
        lacking: list[Finding] = []
        for coverage in workflows:
            lacking += _gate.gaps(coverage) if coverage.specs else ()
        if not self.files and not self.settings.required and workflows:
            lacking.append(_gate.nothing_yet(len(workflows)))
        else:
            spared = self.unreadable | {*reasons}
            lacking += _gate.missing_specs(self.known, spared)
        is_warning = not self.settings.required
        self.findings += [one._replace(warning=is_warning) for one in lacking]
        self.findings += _orphans.of_files(self.project, self.specs)
        # Why a file cannot be loaded is told already.
        if self._knows_all and not self.project.unloaded:
            ids = [one.dag.id for _file, one in self.known]
            self.findings += _gate.unknown_workflows(self.specs, ids)
            self.findings += _gate.lowered(reasons, [one for _file, one in self.known])

    @property
    def _knows_all(self) -> bool:
        """Whether all DAGs were loaded, and not only those that are asked for."""
        return self.project.changed is None and self.project.dags is not None

    def _runnable(self) -> Iterator[Spec]:
        known = {one.dag.id for _file, one in self.known}
        for spec in self.specs:
            if spec.workflow in known or not self._knows_all:
                yield spec

    def _verdicts(self, chosen: Sequence[Chosen]) -> Iterator[Verdict]:
        if chosen:
            with Server(self.project.root) as server:
                yield from run_cases(server, chosen, max_seconds=self.settings.max_seconds)


def _of_verdict(verdict: Verdict) -> Iterator[Finding]:
    for one in verdict.differences:
        yield Finding(
            one.place.file,
            one.place.line,
            f"flow-{one.kind}",
            f"{verdict.chosen.case.name}: {one.headline}",
            _RECORD if _is_golden(one) else "",
            details=one.details,
            item=verdict.chosen.id,
        )


def _is_golden(one: Difference) -> bool:
    """Return whether recording would make an end of a difference."""
    is_content = one.kind in (Kind.TABLE, Kind.FILE) and one.run == RunKind.ONCE
    return is_content and "beside " in one.text
