# SPDX-License-Identifier: Apache-2.0
"""The runs of a case, one after the other, by ``dag.test()``."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.dag_processing import dagbag
from airflow.dag_processing.dagbag import BundleDagBag

from rax.airflow._local_runs import masked_output, retry_at_once
from rax.alerting._capture import captured
from rax.errors import RaxError
from rax.testing._engine import _dag_file
from rax.testing._engine._denied import Denials
from rax.testing._engine._events import Found, Phase, Ran, Writer
from rax.testing._engine._listener import Listener
from rax.testing._engine._lost import Losses
from rax.testing._engine._request import Request
from rax.testing._engine._tasks import Tasks
from rax.testing._engine._triggers import Triggers
from rax.testing._model import RunKind
from rax.testing._outputs import RunOutput
from rax.testing._services import Services
from rax.workflow._text import reason


class RunError(RaxError):
    """A run could not be made, or does not count."""


class Runs:
    """Makes the runs of a case in this process.

    :param begin: called before each run, for what it writes
    """

    def __init__(
        self,
        request: Request,
        services: Services,
        writer: Writer,
        denials: Denials,
        begin: Callable[[RunKind], None],
    ) -> None:
        self._request = request
        self._services = services
        self._writer = writer
        self._denials = denials
        self._begin = begin
        self._folder = request.root / request.dags_folder
        self._bag: Any = None
        self._listener = Listener()
        self._losses = Losses()
        self._triggers = Triggers(request.case.given.triggers)

    def make(self) -> None:
        """Make all runs.

        :raises RaxError: one cannot be made
        """
        folder = self._request.root / self._request.dags_folder
        file, dag = _dag_file.find(folder, self._request.workflow, self._request.file, self._load)
        self._writer.write(Found(str(file)))
        # dag.test() loads the whole folder of DAGs before each run. One file is enough, and once,
        # as on a node: what it defines would be there twice, and so differ from itself.
        dagbag.BundleDagBag = lambda **_: self._bag
        for task in dag.tasks:
            retry_at_once(task)
        self._listener.install()
        # In this order, since what a trigger gives is a result, too, which may be lost.
        self._triggers.install()
        self._losses.install()
        for kind in self._request.case.runs:
            self._make(kind, dag)

    def _load(self, file: Path) -> dict[str, Any]:
        shown = os.path.relpath(file, self._request.root)
        self._writer.write(Phase(f"loading {shown}"))
        self._bag = BundleDagBag(
            dag_folder=str(file), bundle_path=self._folder, bundle_name="dags-folder"
        )
        for error in self._bag.import_errors.values():
            raise RunError(f"{shown} cannot be loaded: {error.strip().splitlines()[-1]}")
        return dict(self._bag.dags)

    def _make(self, kind: RunKind, dag: Any) -> None:
        request, given = self._request, self._request.case.given
        expected = request.case.runs[kind]
        self._begin(kind)
        if kind is RunKind.LOST:
            self._writer.write(Phase("giving the run lost what is given"))
            self._services.reset()
        self._writer.write(Phase(f"beginning the run {kind}"))
        os.environ["RAX_ALERTING_CAPTURE"] = str(request.alerts(kind))
        self._losses.is_on = kind is RunKind.LOST
        tasks = Tasks(kind, expected, given.meanwhile, self._services, self._writer)
        self._listener.tasks = self._denials.tasks = tasks
        options = {} if given.logical_date is None else {"logical_date": given.logical_date}
        conf = None if given.conf is None else dict(given.conf)
        # As the supervisor of a node's task masks what the task prints.
        sys.stdout = masked_output()
        try:
            run = dag.test(run_conf=conf, **options)
        except Exception as error:
            broken = self._services.full() or f"the run {kind} broke off: {reason(error)}"
            raise RunError(broken) from None
        finally:
            sys.stdout = sys.__stdout__
            self._listener.tasks = self._denials.tasks = None
        self._writer.write(Phase(f"ending the run {kind}"))
        order = [task.task_id for task in dag.topological_sort()]
        instances = [one for one in run.get_task_instances() if str(one.state) != "removed"]
        instances.sort(key=lambda one: (order.index(one.task_id), one.map_index))
        alerts = request.alerts(kind)
        output = RunOutput(
            kind,
            str(run.state),
            tasks.outputs(dag, instances),
            tuple(captured(alerts)) if alerts.is_dir() else (),
            tasks.tables(expected.tables),
            tasks.files(expected.files),
        )
        self._writer.write(Ran(output))
        if trouble := self._services.full() or tasks.trouble:
            raise RunError(trouble)
        for change in tasks.unmade():
            raise RunError(
                f"{change.place}: nothing was changed, since no task {change.after} has ended"
            )
