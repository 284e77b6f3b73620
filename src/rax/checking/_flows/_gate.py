# SPDX-License-Identifier: Apache-2.0
"""What a repository lacks of functional tests: by name, with the line to add.

Each workflow has a spec. In it, something is expected of each task; each check is seen failing, and
the summary, too; a case that fails says which alerts there are; and a case that succeeds begins
with databases that are empty.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from rax.checking._finding import Finding, count
from rax.checking._flows._coverage import Coverage
from rax.checking._settings import NAME
from rax.config._files import near
from rax.testing._model import Spec
from rax.testing._specs import FOLDER, SUFFIX

# The rules, by which findings are told apart.
NONE, NO_SPEC, NO_WORKFLOW, TASK, CHECK, SUMMARY, EMPTY, ALERTS, BAR = (
    "no-flows", "flow-none", "flow-workflow", "flow-task", "flow-check", "flow-summary",
    "flow-empty", "flow-alerts", "flow-bar",
)  # fmt: skip
_HEADER = ("workflow", "cases", "tasks verified", "unverified, with a reason",
           "checks seen failing", "summary seen failing", "cases run repeatedly",
           "begins empty")  # fmt: skip
_BEGIN = "./rax flow new {0} writes {1}/{0}{2}"


def missing_specs(dags: Iterable[tuple[str, Coverage]], spared: Collection[str]) -> list[Finding]:
    """Say which workflows have no spec.

    :param dags: each workflow with the file that it is in
    :param spared: those that need none, and those whose spec cannot be read
    """
    return [
        Finding(
            file,
            one.dag.line,
            NO_SPEC,
            f"the workflow {one.dag.id} has no spec: nobody sees what its tasks do",
            _BEGIN.format(one.dag.id, FOLDER, SUFFIX),
        )
        for file, one in dags
        if not one.specs and one.dag.summary and one.dag.id not in spared
    ]


def gaps(one: Coverage) -> Iterator[Finding]:
    """Say what the specs of a workflow lack."""
    spec = one.specs[0]
    for task in one.missing:
        yield _of(spec, TASK, f"nothing is expected of the task {task}",
                  f"below tasks: of a case's expect, write {task}: {{returns: …}}, or tables or "
                  f"files, or {task}: {{unverified: the reason}}")  # fmt: skip
    for name in one.checks:
        if name not in one.seen_failing:
            yield _of(spec, CHECK, f"in no case does the check {name} fail",
                      f"add a case with expect: {{check: {name}}}")  # fmt: skip
    if one.summary and one.summary not in one.seen_failing:
        yield _of(spec, SUMMARY, f"in no case does the summary {one.summary} find something wrong",
                  f"add a case in which rows go missing, by given: {{meanwhile: …}}, with "
                  f"expect: {{failed: [{one.summary}]}}")  # fmt: skip
    for name in one.never_empty:
        yield _of(spec, EMPTY, f"no case that succeeds begins with an empty database {name}",
                  "add one, which sees the tables that the workflow makes itself: given: "
                  f"{{{one.databases[name]}: {{{name}: null}}}}")  # fmt: skip
    for case in one.without_alerts:
        problem = f"{case.name!r} fails, and nothing is said of its alerts"
        advice = 'add to its expect: alerts: ["trigger: a part of what it says"]'
        yield Finding(case.place.file, case.place.line, ALERTS, problem, advice)


def unknown_workflows(specs: Iterable[Spec], known: Iterable[str]) -> Iterator[Finding]:
    """Say which specs are of no workflow that there is."""
    names = set(known)
    for spec in specs:
        if spec.workflow not in names:
            problem = f"there is no workflow {spec.workflow}{near(spec.workflow, names)}"
            yield _of(spec, NO_WORKFLOW, problem)


def lowered(reasons: Mapping[str, str], known: Iterable[Coverage]) -> Iterator[Finding]:
    """Say which workflows need no spec, and which reasons are for nothing."""
    by_id = {one.dag.id: one for one in known}
    for name, reason in reasons.items():
        if name not in by_id:
            problem = f"there is no workflow {name}, which needs no spec{near(name, by_id)}"
        elif by_id[name].specs:
            problem = f"the workflow {name} has a spec, and is said to need none"
        else:
            problem = f"the workflow {name} needs no spec: {reason}"
            yield Finding(NAME, 0, BAR, problem, warning=True)
            continue
        yield Finding(NAME, 0, BAR, problem, "take it out of [flows] unverified", warning=True)


def nothing_yet(workflows: int) -> Finding:
    """Say that a repository has no specs, and need not have some."""
    problem = f"{count(workflows, 'workflow')}, and no spec yet of what the tasks do"
    advice = (
        f"./rax flow new WORKFLOW writes one; required = true below [flows] in {NAME} asks for all"
    )
    return Finding("", 0, NONE, problem, advice, warning=True)


def table(known: Iterable[Coverage], reasons: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return what is covered of each workflow, as a table with a header."""
    rows = [_row(one, reasons) for one in known if one.specs or one.dag.summary]
    return (_HEADER, *rows) if rows else ()


def _row(one: Coverage, reasons: Mapping[str, str]) -> tuple[str, ...]:
    if not one.specs:
        return (one.dag.id, reasons.get(one.dag.id, "no spec"), *["-"] * (len(_HEADER) - 2))
    seen = sum(name in one.seen_failing for name in one.checks)
    standard = "-" if not one.summary else "yes" if one.summary in one.seen_failing else "no"
    return (
        one.dag.id,
        str(len(one.cases)),
        f"{len(one.verified)} of {len(one.dag.tasks)}",
        str(len(one.unverified)),
        f"{seen} of {len(one.checks)}" if one.checks else "-",
        standard,
        str(one.repeated),
        "-" if not one.databases else "no" if one.never_empty else "yes",
    )


def _of(spec: Spec, rule: str, problem: str, advice: str = "") -> Finding:
    return Finding(spec.place.file, spec.place.line, rule, problem, advice)
