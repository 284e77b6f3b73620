# SPDX-License-Identifier: Apache-2.0
"""``run_workflow``: a workflow in a case that a test makes, where a spec cannot say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rax.checking._settings import Flows
from rax.errors import WorkflowError
from rax.testing._judging._csv import read
from rax.testing._model import UNSET, RunKind
from rax.testing._outputs import Captured, RunOutput, TaskOutput
from rax.testing._runner import Cases
from rax.testing._specs import SpecError, made

# A row of a table: texts as the database writes them, in UTC; NULL is None.
Row = Mapping[str, str | None]


class TaskRun(NamedTuple):
    """What became of a task."""

    # Airflow's.
    state: str
    # What it returned; None where it returned nothing.
    returned: Any
    # Why it failed, in a line.
    reason: str
    tries: int


@dataclass(frozen=True)
class WorkflowRun:
    """A workflow that has run."""

    # Airflow's.
    state: str
    # By their ids; the instances of a mapped one are load[0], load[1] and so on.
    tasks: Mapping[str, TaskRun]
    # The rows at the end, by the names of credentials and then by queries.
    tables: Mapping[str, Mapping[str, Sequence[Row]]]
    # What is in each file at the end; None where there is none.
    files: Mapping[str, bytes | None]
    # The events that PagerDuty would have got, in their order.
    alerts: Sequence[Mapping[str, Any]]
    # What the workflow's code logged and printed.
    log: str


def run(
    server: Cases,
    file: Path,
    workflow: str,
    *,
    given: Mapping[str, Any] | None = None,
    conf: Mapping[str, Any] | None = None,
    tables: Mapping[str, Sequence[str]] | None = None,
    files: Sequence[str] = (),
    max_seconds: float = Flows.max_seconds,
) -> WorkflowRun:
    """Run a workflow once in a case of its own.

    :param file: of the test; files are beside it
    :param workflow: the id of its DAG
    :param given: as a spec has it
    :param conf: of the run
    :param tables: the queries whose rows are wanted, by the names of databases' credentials
    :param files: those of the case's folder whose content is wanted
    :raises WorkflowError: what is given cannot be given, the run did not end, or a table or file
        cannot be read
    """
    what = {"given": {**(given or {}), **({} if conf is None else {"conf": dict(conf)})}}
    wanted = {name: _looked_at(queries) for name, queries in (tables or {}).items()}
    expect = {**wanted, "files": _looked_at(files)}
    case = {**what, "runs": [RunKind.ONCE.value], "expect": expect}
    try:
        spec = made({"workflow": workflow, "cases": {"run_workflow": case}}, file)
    except SpecError as error:
        texts = "\n".join(mistake.text for mistake in error.mistakes)
        raise WorkflowError(f"run_workflow: {texts}") from None
    output = server.run(spec, spec.cases[0], max_seconds=max_seconds)
    if output.trouble or not output.runs:
        raise WorkflowError(f"{workflow}: {output.trouble or 'there was no run'}")
    return _result(output.runs[0])


def _looked_at(names: Sequence[str]) -> dict[str, Any]:
    """Return expectations by which these are looked at; they are compared with nothing."""
    return {name: {"rows": 0} for name in names}


def _result(found: RunOutput) -> WorkflowRun:
    tables: dict[str, dict[str, Sequence[Row]]] = {}
    for query, captured in found.tables.items():
        table = read(_content(f"{query.database}: {query.sql}", captured) or b"")
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        tables.setdefault(query.database, {})[query.sql] = rows
    return WorkflowRun(
        state=found.state,
        tasks={str(task.key): _task(task) for task in found.tasks},
        tables=tables,
        files={name: _content(name, captured) for name, captured in found.files.items()},
        alerts=found.alerts,
        log=found.log,
    )


def _task(task: TaskOutput) -> TaskRun:
    returned = None if task.returned is UNSET else task.returned
    return TaskRun(task.state, returned, task.reason, task.tries)


def _content(name: str, captured: Captured) -> bytes | None:
    if captured.error:
        raise WorkflowError(f"{name}: {captured.error}")
    return captured.content
