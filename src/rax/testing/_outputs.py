# SPDX-License-Identifier: Apache-2.0
"""What a case gave: the engine writes it, and the judge compares it with what was expected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rax.testing._model import UNSET, Query, RunKind, TaskKey


@dataclass(frozen=True)
class Captured:
    """What a query or a file gave."""

    # Of a query, what COPY … CSV HEADER writes of it, the rows sorted; None is no file.
    content: bytes | None = None
    # Why there is nothing to compare.
    error: str = ""


@dataclass(frozen=True)
class TaskOutput:
    """What became of a task: tables and files are those at the moment when it ended."""

    key: TaskKey
    # Airflow's.
    state: str
    # check or summary, where it is such a part of a workflow.
    part: str = ""
    # The ids of the tasks that it depends on, of those directly before it.
    upstream: frozenset[str] = frozenset()
    returned: Any = UNSET
    # Why it failed, in a line.
    reason: str = ""
    tries: int = 0
    seconds: float | None = None
    tables: Mapping[Query, Captured] = field(default_factory=dict)
    files: Mapping[str, Captured] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOutput:
    """What a run gave, and what it left at its end."""

    kind: RunKind
    # Airflow's.
    state: str
    # In the order of the workflow.
    tasks: tuple[TaskOutput, ...]
    # The events that PagerDuty would have got, in their order.
    alerts: tuple[Mapping[str, Any], ...] = ()
    tables: Mapping[Query, Captured] = field(default_factory=dict)
    files: Mapping[str, Captured] = field(default_factory=dict)
    # What authors' code wrote and logged, in lines; secrets are masked.
    log: str = ""


@dataclass(frozen=True)
class CaseOutput:
    """What a case gave."""

    # Those that were made, in their order.
    runs: tuple[RunOutput, ...] = ()
    # Why it has no further run, naming the task: it hung, or ended the process.
    trouble: str = ""
    # What tasks tried to reach outside of the case, each as "load: 192.0.2.1 port 5432".
    denied: tuple[str, ...] = ()
    # Which guard stood in for the network namespace that the kernel refused; nothing where none.
    guard: str = ""
    # What --keep left up, in lines that a person may enter.
    kept: tuple[str, ...] = ()
    # What a reader has to know of it besides, each in a line.
    notes: tuple[str, ...] = ()
    # What authors' code wrote and logged in a run that gave no output; secrets are masked.
    log: str = ""
