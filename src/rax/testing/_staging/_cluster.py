# SPDX-License-Identifier: Apache-2.0
"""What is asked of a cluster about a workflow: its DAG, its runs, and what their tasks gave."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from rax._printable import one_line
from rax.testing._model import UNSET, TaskKey
from rax.testing._staging import _answers, _values
from rax.testing._staging._answers import Instance, Run, Task
from rax.testing._staging._client import AnswerError, Client

# As many as Airflow gives at once, unless it is told otherwise.
_PAGE = 100
_MAX_INSTANCES = 10_000
_MAX_SHOWN_FILES = 3
# What a task has noted of how it ended, see rax.airflow._outcomes.
_NOTE = "rax_outcome"


class Workflow:
    """A workflow on a cluster."""

    def __init__(self, client: Client, dag_id: str) -> None:
        self._client = client
        self._dag = f"/api/v2/dags/{_quoted(dag_id)}"
        self.dag_id = dag_id

    def problem(self) -> str:
        """Say why a run of it would not be what is meant; nothing where it would."""
        try:
            dag = _answers.dag_of(self._client.get(self._dag))
        except AnswerError as error:
            if error.is_not_found:
                return f"the cluster has no workflow {self.dag_id}{self._broken_files()}"
            raise
        if dag.is_stale:
            return f"{self.dag_id} is in no file of the cluster any more{self._broken_files()}"
        if dag.has_import_errors:
            return (
                f"the file of {self.dag_id} cannot be loaded on the cluster, which would run what "
                "it was before"
            )
        if dag.is_paused:
            return f"{self.dag_id} is paused on the cluster, where a run would wait: unpause it"
        return ""

    def trigger(
        self,
        run_id: str,
        conf: Mapping[str, Any] | None,
        logical_date: datetime.datetime | None,
        note: str,
    ) -> None:
        """Begin a run."""
        body = {
            "dag_run_id": run_id,
            "logical_date": logical_date.isoformat() if logical_date else None,
            "conf": dict(conf or {}),
            "note": note,
        }
        self._client.post(f"{self._dag}/dagRuns", body)

    def run(self, run_id: str) -> Run:
        """Return a run."""
        return _answers.run_of(self._client.get(self._run(run_id)))

    def remove(self, run_id: str) -> None:
        """Remove a run that has ended."""
        self._client.delete(self._run(run_id))

    def runs_of(self, logical_date: datetime.datetime) -> list[Run]:
        """Return the run of a logical date, of which there is one at most."""
        date = logical_date.isoformat()
        return self._runs(logical_date_gte=date, logical_date_lte=date)

    def running(self) -> list[Run]:
        """Return some of the runs that run now."""
        return self._runs(state="running")

    def tasks(self) -> list[Task]:
        """Return its tasks."""
        return _answers.tasks_of(self._client.get(f"{self._dag}/tasks"))

    def instances(self, run_id: str) -> list[Instance]:
        """Return what became of the tasks of a run.

        :raises AnswerError: there are too many
        """
        found: dict[TaskKey, Instance] = {}
        for offset in range(0, _MAX_INSTANCES, _PAGE):
            page = self._instances(run_id, offset=offset, order_by="id")
            found |= {one.key: one for one in page}
            if len(page) < _PAGE:
                return [*found.values()]
        raise AnswerError(f"the run has more than {_MAX_INSTANCES:,} tasks")

    def running_tasks(self, run_id: str) -> list[TaskKey]:
        """Return some of the tasks of a run that run now."""
        return [one.key for one in self._instances(run_id, state="running")]

    def returned(self, run_id: str, key: TaskKey) -> Any:
        """Return what a task returned."""
        return self._xcom(run_id, key, "return_value")

    def reason(self, run_id: str, key: TaskKey) -> str:
        """Return why a task failed, as rax has noted it; nothing where it has not."""
        note = self._xcom(run_id, key, _NOTE)
        reason = note.get("reason") if isinstance(note, dict) else None
        return one_line(reason) if isinstance(reason, str) else ""

    def url(self, run_id: str) -> str:
        """Return where people see a run."""
        return f"{self._client.address.url}/dags/{_quoted(self.dag_id)}/runs/{_quoted(run_id)}"

    def _run(self, run_id: str) -> str:
        return f"{self._dag}/dagRuns/{_quoted(run_id)}"

    def _runs(self, **query: str) -> list[Run]:
        return _answers.runs_of(self._client.get(f"{self._dag}/dagRuns?{urlencode(query)}"))

    def _instances(self, run_id: str, **query: str | int) -> list[Instance]:
        words = urlencode({"limit": _PAGE, **query})
        return _answers.instances_of(self._client.get(f"{self._run(run_id)}/taskInstances?{words}"))

    def _xcom(self, run_id: str, key: TaskKey, name: str) -> Any:
        index = -1 if key.map_index is None else key.map_index
        path = f"{self._run(run_id)}/taskInstances/{_quoted(key.task_id)}/xcomEntries/{name}"
        try:
            answer = self._client.get(f"{path}?map_index={index}")
        except AnswerError as error:
            if error.is_not_found:
                # Airflow keeps no None.
                return None
            raise
        return _values.plain(answer.get("value", UNSET))

    def _broken_files(self) -> str:
        """Name files that the cluster cannot load, of which one may be the workflow's."""
        try:
            answer = self._client.get(f"/api/v2/importErrors?limit={_MAX_SHOWN_FILES}")
        except AnswerError:
            # The account need not see them.
            answer = {}
        names = ", ".join(_names(answer))
        return f"; it cannot load {names}" if names else ": has its commit been published there?"


def _names(answer: Mapping[str, Any]) -> Iterator[str]:
    errors = answer.get("import_errors")
    for one in errors[:_MAX_SHOWN_FILES] if isinstance(errors, list) else ():
        name = one.get("filename") if isinstance(one, dict) else None
        if isinstance(name, str):
            yield one_line(name, 120)


def _quoted(name: str) -> str:
    # A name of dots would be a step of the path.
    return quote(name, safe="").replace(".", "%2E") if set(name) <= {"."} else quote(name, safe="")
