# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes the processor time of cases of `rax flow`, run by the nodes' packages: see flow.py.

usage: flow_driver.py WORKFLOW ROUNDS ONE MANY, two repositories that have the workflow; what it
found is JSON, in its last line.
"""

import json
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.flow import CASE, MANY, TWICE
from benchmarks.turns import WrongMeasureError, compare
from rax.testing._engine import Server
from rax.testing._model import Case, Expectation, Given, Place, RunKind, Spec

MAX_CASE_SECONDS = 300.0
PLACE = Place("flow.yaml", 1)


def case_seconds(server: Server, workflow: str, kinds: Iterable[RunKind]) -> float:
    """Run a case, and return the processor time of all that was forked for it."""
    # Airflow brings it.
    import psutil

    process = psutil.Process(server.pid)
    before = process.cpu_times()
    expected = Expectation(PLACE)
    case = Case(PLACE, "measured", Given(), dict.fromkeys(kinds, expected))
    output = server.run(
        Spec(Path("flow.yaml"), PLACE, workflow, (case,)), case, max_seconds=MAX_CASE_SECONDS
    )
    if output.trouble or any(run.state != "success" for run in output.runs):
        raise WrongMeasureError(f"the case did not go well: {output.trouble or output.runs}")
    after = process.cpu_times()
    return float(sum(after[:4]) - sum(before[:4]))


def measured(workflow: str, rounds: int, one: Path, many: Path) -> dict[str, list[float]]:
    """Take the seconds of all ways, which take turns."""
    with Server(one) as small, Server(many) as large:
        ways = {
            CASE: partial(case_seconds, small, workflow, [RunKind.ONCE]),
            TWICE: partial(case_seconds, small, workflow, [RunKind.ONCE, RunKind.AGAIN]),
            MANY: partial(case_seconds, large, workflow, [RunKind.ONCE]),
        }
        # The first one finds out which file it is.
        for way in ways.values():
            way()
        return compare(ways, rounds)


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:]))))
