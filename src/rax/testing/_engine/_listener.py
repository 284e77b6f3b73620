# SPDX-License-Identifier: Apache-2.0
"""What Airflow tells, in this process, of the tasks that it runs here."""

import signal
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.listener import get_listener_manager

from rax.testing._engine._tasks import Tasks


class Listener:
    """Passes what Airflow tells to the tasks of the run that is made now."""

    def __init__(self) -> None:
        self.tasks: Tasks | None = None

    def install(self) -> None:
        """Be told from now on."""
        get_listener_manager().add_listener(self)

    @hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Take that a task begins."""
        # Airflow has a handler in Python while it loads files: what fails would be tried for ever.
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        if self.tasks is not None:
            self.tasks.begun(task_instance)

    @hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
    def on_task_instance_success(self, task_instance: Any) -> None:
        """Take that a task has done its work."""
        self._ended(task_instance)

    @hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
    def on_task_instance_failed(self, task_instance: Any, error: Any) -> None:
        """Take that a task has failed, or will be tried again."""
        self._ended(task_instance, error)

    @hookimpl  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        """Take that a task has skipped itself."""
        self._ended(task_instance)

    def _ended(self, task_instance: Any, error: Any = None) -> None:
        # The scheduler's part of dag.test() tells of tasks too, which have not run.
        if self.tasks is not None and not hasattr(task_instance, "_sa_instance_state"):
            self.tasks.ended(task_instance, error)
