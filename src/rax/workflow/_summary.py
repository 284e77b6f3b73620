# SPDX-License-Identifier: Apache-2.0
"""What a run of a workflow has done: what its summary gets, logs and sends in alerts."""

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rax._layout import cut, table
from rax.errors import WorkflowError
from rax.workflow._text import MAX_VALUE_CHARACTERS, aligned

# Our state for a task whose state cannot be got. The other bad ones are Airflow's.
UNKNOWN = "unknown"
_BAD = ("failed", UNKNOWN, "upstream_failed")
# How many instances of one task, and how many failures, are named one by one.
_MAX_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """What became of one task, or of one instance of a mapped task.

    What the task noted of itself (all but the state and the duration) is there for the tasks of a
    workflow, and None or empty for a task that was added behind its back, or was killed.
    """

    task_id: str
    map_index: int = -1
    """The instance of a mapped task; -1 for a task that is not mapped."""
    state: str = "success"
    """Airflow's: success, failed, upstream_failed or skipped; unknown where it cannot be got."""
    duration: float | None = None
    """Seconds of the last try."""
    start: datetime | None = None
    end: datetime | None = None
    try_number: int | None = None
    rows: int | None = None
    """The whole number at the key ``rows`` of the dict that the task returned."""
    shown: str = ""
    """What the task returned, in at most 80 characters and without passwords."""
    reason: str = ""
    """Why it failed: kind and message of its error."""
    is_check: bool = False
    alerted: bool = False
    """Whether this check has opened the incident itself."""
    pull: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the task's id, and the index of a mapped one in brackets.

        >>> TaskOutcome(task_id="load", map_index=3).name
        'load[3]'
        """
        return name_of(self.task_id, self.map_index)

    @property
    def value(self) -> Any:
        """Return what the task returned, read now: None where it returned nothing.

        :raises WorkflowError: it cannot be read
        """
        try:
            return self.pull()
        except Exception as error:
            raise WorkflowError(
                f"what {self.name} returned cannot be read: {type(error).__name__}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run has done until its summary began.

    >>> run = Summary(workflow="ebi_load", run_id="manual", tasks=(
    ...     TaskOutcome(task_id="load", map_index=0, rows=27004, duration=1.5, try_number=1),
    ...     TaskOutcome(task_id="load", map_index=1, state="failed", reason="OSError: no file"),
    ... ))
    >>> run.state, run.rows, run.reasons
    ('failed', {'load': 27004}, ['load[1]: OSError: no file'])
    """

    workflow: str
    run_id: str
    environment: str = "default"
    """``RAX_ENVIRONMENT``"""
    release: str | None = None
    """The commit of the DAG repository that the run is pinned to."""
    release_url: str | None = None
    """The page of that commit, where ``RAX_RELEASE_URL`` is set."""
    url: str | None = None
    """The run in Airflow's UI, where ``[api] base_url`` is set."""
    started: datetime | None = None
    duration: float | None = None
    """Seconds since the run began."""
    tasks: tuple[TaskOutcome, ...] = ()
    """Everything upstream of the summary, in the order of the DAG."""
    idle: bool = False
    """Whether there was nothing to do: whatever the work leads to was skipped."""
    problem: str = ""
    """Why the run has failed besides its tasks: what the summary's own code raised."""
    gaps: tuple[str, ...] = ()
    """What could not be found out for this report."""
    details: Any = None
    """What the summary's own code returned."""

    def __getitem__(self, task_id: str) -> tuple[TaskOutcome, ...]:
        """Return the outcomes of a task: one, or one for each instance of a mapped task.

        :raises WorkflowError: nothing of that name is upstream of the summary
        """
        found = tuple(task for task in self.tasks if task.task_id == task_id)
        if not found:
            names = sorted({task.task_id for task in self.tasks})
            near = difflib.get_close_matches(task_id, names, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names)}"
            raise WorkflowError(f"the summary of {self.workflow} has no task {task_id!r}: {hint}")
        return found

    def values(self, task_id: str) -> list[Any]:
        """Return what the instances of a task returned, those that succeeded, in their order.

        :raises WorkflowError: as ``[]`` and ``TaskOutcome.value`` do
        """
        return [task.value for task in self[task_id] if task.state == "success"]

    @property
    def state(self) -> Literal["success", "failed", "skipped"]:
        """Return what the run comes to: skipped where there was nothing to do.

        Anything failed is a failure, a teardown too; what was skipped is none.
        """
        if self.problem or any(task.state in _BAD for task in self.tasks):
            return "failed"
        return "skipped" if self.idle else "success"

    @property
    def rows(self) -> dict[str, int]:
        """Return the rows of each task that noted them, those of a mapped one added up.

        ``rows["store"]`` is 0 where the task has not succeeded: it has brought none.

        :raises WorkflowError: by ``rows["store"]``: nothing of that name is upstream of the
            summary, or it has succeeded and returned no ``{"rows": …}``
        """
        rows = _Rows(self)
        for task in self.tasks:
            if task.rows is not None:
                rows[task.task_id] = rows.get(task.task_id, 0) + task.rows
        return rows

    @property
    def failures(self) -> list[TaskOutcome]:
        """Return the tasks that failed, or, where none did, those that waited for one in vain."""
        bad = [task for task in self.tasks if task.state in _BAD]
        return [task for task in bad if task.state != "upstream_failed"] or bad

    @property
    def aborted(self) -> bool:
        """Return whether a check has failed, so that what depends on it was not begun."""
        return any(task.is_check for task in self.failures)

    @property
    def reasons(self) -> list[str]:
        """Return why the run has failed, in the order of the DAG."""
        reasons = [
            f"{'check ' * task.is_check}{task.name}: {task.reason or _unexplained(task.state)}"
            for task in self.failures
        ]
        return reasons + [self.problem] * bool(self.problem)

    def headline(self) -> str:
        """Return the result in one line.

        >>> Summary(workflow="ebi_load", run_id="manual", problem="summary: no rows").headline()
        'ebi_load (default) failed: summary: no rows'
        """
        if self.state != "failed":
            outcome = "succeeded" if self.state == "success" else "had nothing to do"
            return f"{self.workflow} ({self.environment}) {outcome}"
        first, *others = self.reasons
        more = f" (and {len(others)} more)" if others else ""
        return f"{self.workflow} ({self.environment}) failed: {first}{more}"

    def __str__(self) -> str:
        # A report to read: the result and a table of the tasks.
        took = "" if self.duration is None else f" after {self.duration:.1f} s"
        lines = [f"{self.workflow} ({self.environment}), run {self.run_id}: {self.state}{took}"]
        if self.release_url:
            lines.append(f"release: {self.release_url}")
        if self.tasks:
            rows = [row for task_id, found in _grouped(self.tasks) for row in _rows(task_id, found)]
            header = ("task", "state", "tries", "seconds", "rows", "result")
            lines.append(table(header, aligned(rows, (2, 3, 4))).rstrip("\n"))
        lines += _first(self.reasons, "failed: ") + [f"not known: {gap}" for gap in self.gaps]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return the structured line: its keys are stable, and all of them are always there.

        Bounded by the number of tasks: instances of a mapped task are counted, and the first 20
        failures are named.
        """
        line = {
            "kind": "workflow_summary",
            "workflow": self.workflow,
            "environment": self.environment,
            "run_id": self.run_id,
            "release": self.release,
            "release_url": self.release_url,
            "url": self.url,
            "state": self.state,
            "started": self.started.isoformat() if self.started else None,
            "duration": self.duration,
            "tasks": {task_id: _totals(found) for task_id, found in _grouped(self.tasks)},
            "rows": self.rows,
            "failures": [
                {"task": task.name, "state": task.state, "reason": task.reason}
                for task in self.failures[:_MAX_NAMED]
            ],
            "problem": self.problem,
            "gaps": list(self.gaps),
            "details": self.details,
        }
        return json.dumps(line, ensure_ascii=False, allow_nan=False)


class _Rows(dict[str, int]):
    """The rows by task, and those of a task that noted none."""

    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self._summary = summary

    def __missing__(self, task_id: str) -> int:
        if any(task.state == "success" for task in self._summary[task_id]):
            raise WorkflowError(
                f"{task_id} of {self._summary.workflow} has noted no rows:"
                " it has to return {'rows': …}"
            )
        return 0


def _grouped(tasks: Iterable[TaskOutcome]) -> list[tuple[str, list[TaskOutcome]]]:
    groups: dict[str, list[TaskOutcome]] = {}
    for task in tasks:
        groups.setdefault(task.task_id, []).append(task)
    return list(groups.items())


def _totals(found: list[TaskOutcome]) -> dict[str, Any]:
    rows = [task.rows for task in found if task.rows is not None]
    durations = [task.duration for task in found if task.duration is not None]
    tries = [task.try_number for task in found if task.try_number is not None]
    return {
        "states": dict(Counter(task.state for task in found)),
        "rows": sum(rows) if rows else None,
        "duration": round(max(durations), 3) if durations else None,
        "try_number": max(tries) if tries else None,
    }


def _rows(task_id: str, found: list[TaskOutcome]) -> list[list[str]]:
    """Return the lines of a task: of a mapped one with many instances, its sums and failures."""
    if len(found) <= _MAX_NAMED:
        return [_row(task) for task in found]
    totals = _totals(found)
    states = ", ".join(f"{count} {state}" for state, count in sorted(totals["states"].items()))
    line = [f"{task_id}[…]", states, _cell(totals["try_number"]), _cell(totals["duration"])]
    bad = [task for task in found if task.state in _BAD]
    return [[*line, _cell(totals["rows"]), ""], *map(_row, bad[:_MAX_NAMED])]


def _row(task: TaskOutcome) -> list[str]:
    numbers = [_cell(task.try_number), _cell(task.duration), _cell(task.rows)]
    return [task.name, task.state, *numbers, cut(task.reason, MAX_VALUE_CHARACTERS) or task.shown]


def _cell(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.1f}" if isinstance(number, float) else str(number)


def _first(texts: list[str], prefix: str) -> list[str]:
    more = [f"… {len(texts) - _MAX_NAMED} more"] if len(texts) > _MAX_NAMED else []
    return [f"{prefix}{text}" for text in texts[:_MAX_NAMED]] + more


def _unexplained(state: str) -> str:
    if state == "failed":
        return "failed and did not say why; its log may"
    return f"is {state}"


def name_of(task_id: str, map_index: int) -> str:
    """Return what a task, or an instance of a mapped task, is called in reports."""
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


def rows_of(value: object) -> int | None:
    """Return the number of rows of a task that returned ``{"rows": …}``.

    >>> rows_of({"rows": 12, "month": 1}), rows_of(12), rows_of({"rows": "12"})
    (12, None, None)
    """
    rows = value.get("rows") if isinstance(value, Mapping) else None
    return rows if isinstance(rows, int) and not isinstance(rows, bool) and rows >= 0 else None
