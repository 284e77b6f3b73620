# SPDX-License-Identifier: Apache-2.0
"""Whether a case is as its spec has it."""

from collections.abc import Iterator

from rax.testing._judging import _alerts, _states, _tasks
from rax.testing._judging._difference import Difference, Kind
from rax.testing._judging._masking import Mask
from rax.testing._judging._tasks import Runs, Told
from rax.testing._model import Case, RunKind
from rax.testing._outputs import CaseOutput

_ALLOW = "tasks reach nothing but what the case is given: postgres, sqlite, http"


def judge(case: Case, output: CaseOutput) -> tuple[Difference, ...]:
    """Return in what a case is not as its spec has it; nothing where it is.

    What a further run has in common with the first one is told of the first one alone.
    """
    told: dict[tuple[object, ...], tuple[RunKind | None, Told]] = {}
    for kind, found in _told(case, output):
        told.setdefault((found.subject, found.lines, found.kind), (kind, found))
    fit = Mask(case.given)
    return tuple(
        Difference(
            one.place,
            run,
            fit(one.subject),
            "\n".join(map(fit, one.lines)),
            one.kind,
        )
        for run, one in told.values()
    )


def _told(case: Case, output: CaseOutput) -> Iterator[tuple[RunKind | None, Told]]:
    if output.trouble:
        yield None, Told(case.place, "", (output.trouble,), Kind.TROUBLE)
    for one in dict.fromkeys(output.denied):
        yield None, Told(case.place, "", (f"out of reach: {one}", _ALLOW), Kind.DENIED)
    made = {run.kind: run for run in output.runs}
    first = None
    for kind, expected in case.runs.items():
        if kind not in made:
            if not output.trouble:
                yield None, Told(case.place, "", (f"{kind} was not run",), Kind.TROUBLE)
            continue
        runs = Runs(expected, made[kind], first)
        first = first or runs
        for found in _of_run(runs):
            yield kind, found


def _of_run(runs: Runs) -> Iterator[Told]:
    for lines in _states.of_run(runs.expected, runs.output):
        yield Told(runs.expected.place, "", tuple(lines), Kind.STATE)
    yield from _tasks.of_tasks(runs)
    yield from _tasks.of_end(runs)
    yield from _alerts.of_alerts(runs)
