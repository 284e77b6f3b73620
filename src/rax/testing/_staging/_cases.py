# SPDX-License-Identifier: Apache-2.0
"""The cases of specs, run on a cluster: as the server of the engine runs them on a laptop."""

import datetime
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from rax.errors import CommandError
from rax.testing._model import Case, RunKind, Spec, TaskKey
from rax.testing._outputs import CaseOutput, RunOutput
from rax.testing._runner import Progress
from rax.testing._staging._answers import Run
from rax.testing._staging._client import AnswerError, AwayError, Client
from rax.testing._staging._cluster import Workflow
from rax.testing._staging._databases import Databases
from rax.testing._staging._outputs import outputs

# By which people, and this, know the runs that are made here.
PREFIX = "rax_flow__"
_ENDED = ("success", "failed")
_CONFLICT = 409
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.5, 5.0
_MAX_NAMED = 3


class LateError(CommandError):
    """A run does not end in the time that its case has."""


class StagedCases:
    """Runs cases on a cluster, and looks at what they leave there.

    A run that is not waited for any longer goes on: its tasks may be writing.

    :param notes: what a reader has to know of a case, by the file of its spec and its name
    :param progress: is told what is waited for
    """

    def __init__(
        self,
        client: Client,
        databases: Databases,
        notes: Mapping[tuple[str, str], tuple[str, ...]],
        progress: Progress,
    ) -> None:
        self._client = client
        self._databases = databases
        self._notes = notes
        self._progress = progress
        self.versions: dict[str, None] = {}
        """The commits of which runs were, in the order of these."""
        self.going_on = ""
        """Where the run is that has not ended yet."""

    def wait_until_ready(self) -> float:
        """Return 0: who has logged in waits for nothing."""
        return 0.0

    def run(
        self,
        spec: Spec,
        case: Case,
        *,
        max_seconds: float,
        keep: bool = False,  # noqa: ARG002 - a cluster's data stay anyway
        on_task: Callable[[RunKind, TaskKey], None] | None = None,
    ) -> CaseOutput:
        """Run a case, and return what it gave.

        :param max_seconds: how long it may take, all its runs together
        :param on_task: called when a task is seen to run
        """
        workflow = Workflow(self._client, spec.workflow)
        waiting = _Waiting(workflow, self._progress, on_task, max_seconds)
        notes = [*self._notes.get((spec.place.file, case.name), ())]
        runs: list[RunOutput] = []
        try:
            trouble = workflow.problem()
            for kind in () if trouble else case.runs:
                run_id = f"{PREFIX}{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}_" + (
                    secrets.token_hex(4)
                )
                self._begin(workflow, run_id, spec, case)
                self.going_on = workflow.url(run_id)
                notes.append(f"{kind}: {self.going_on}")
                ended = waiting.end(kind, run_id)
                self.going_on = ""
                if ended.version:
                    self.versions[ended.version] = None
                runs.append(self._output(workflow, kind, ended, case))
        except (AnswerError, AwayError, LateError) as error:
            trouble = str(error)
        return CaseOutput(tuple(runs), trouble=trouble, notes=tuple(notes))

    def release(self) -> None:
        """Hold nothing: what a run has left on the cluster stays."""

    def _begin(self, workflow: Workflow, run_id: str, spec: Spec, case: Case) -> None:
        given = case.given
        note = f"rax flow --target: {spec.place.file}::{case.name}"
        order: tuple[Any, ...] = (run_id, given.conf, given.logical_date, note)
        try:
            workflow.trigger(*order)
        except AwayError:
            # It may have been taken all the same.
            try:
                workflow.run(run_id)
            except AnswerError as error:
                if error.is_not_found:
                    raise AwayError("the cluster was away, and has begun no run") from None
                raise
        except AnswerError as error:
            if error.status != _CONFLICT or given.logical_date is None:
                raise
            self._make_room(workflow, given.logical_date)
            workflow.trigger(*order)

    def _make_room(self, workflow: Workflow, logical_date: datetime.datetime) -> None:
        """Remove the run that was made here before; of a logical date there can be one."""
        for run in workflow.runs_of(logical_date):
            if not run.id.startswith(PREFIX) or run.state not in _ENDED:
                raise AnswerError(
                    f"{workflow.dag_id} has a run of {logical_date.isoformat()} already, {run.id}"
                    f" ({run.state}), and there can be one: have it removed, or take another"
                    " logical_date"
                )
            workflow.remove(run.id)

    def _output(self, workflow: Workflow, kind: RunKind, ended: Run, case: Case) -> RunOutput:
        expected = case.runs[kind]
        return RunOutput(
            kind,
            ended.state,
            outputs(workflow, ended.id, expected),
            tables={query: self._databases.table(query) for query in expected.tables},
        )


class _Waiting:
    """Waits for the runs of a case, as long as it may take."""

    def __init__(
        self,
        workflow: Workflow,
        progress: Progress,
        on_task: Callable[[RunKind, TaskKey], None] | None,
        max_seconds: float,
    ) -> None:
        self._workflow = workflow
        self._progress = progress
        self._on_task = on_task
        self._max_seconds = max_seconds
        self._ends = time.monotonic() + max_seconds

    def end(self, kind: RunKind, run_id: str) -> Run:
        """Return a run that has ended.

        :raises LateError: it does not, with what it waits for
        """
        pause = _MIN_PAUSE_SECONDS
        while True:
            run = self._workflow.run(run_id)
            if run.state in _ENDED:
                return run
            where = self._where(kind, run)
            if time.monotonic() + pause > self._ends:
                raise LateError(
                    f"after {self._max_seconds:g} s the run {run_id} is {run.state}{where}, and "
                    "goes on on the cluster"
                )
            time.sleep(pause)
            pause = min(1.5 * pause, _MAX_PAUSE_SECONDS)

    def _where(self, kind: RunKind, run: Run) -> str:
        """Return what a run is doing, or what it waits for, and tell it."""
        if run.state == "queued":
            others = [other.id for other in self._workflow.running()]
            waits = f" and waits for {', '.join(others[:_MAX_NAMED])}" if others else ""
            self._progress.waits(kind, f"{run.state}{waits}")
            return waits
        running = self._workflow.running_tasks(run.id)
        if running and self._on_task is not None:
            self._on_task(kind, running[0])
        return f" in {', '.join(map(str, running[:_MAX_NAMED]))}" if running else ""
