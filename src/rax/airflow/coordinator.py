# SPDX-License-Identifier: Apache-2.0
"""How a worker runs a task: as Airflow does, with an eye on how its process ends."""

import contextlib
from typing import Any

from airflow.sdk.execution_time.coordinator import BaseCoordinator, _PythonCoordinator

from rax.airflow._outcomes import NOTE
from rax.airflow._reasons import note, why_ended


class Coordinator(_PythonCoordinator):  # type: ignore[misc]  # Airflow is not here when types are checked
    """Notes how the process of a task ended that could not: ``[sdk] coordinators``."""

    def execute_task(
        self, *, what: Any, client: Any, **options: Any
    ) -> BaseCoordinator.ExecutionResult:
        """Run the task in a process of its own; return what became of it."""
        result = super().execute_task(what=what, client=client, **options)
        if result.exit_code and result.final_state == "failed":
            # The state of the task is reported by now, and nothing here may change that.
            with contextlib.suppress(Exception):
                _note_end(what, client, why_ended(int(result.exit_code)))
        return result


def _note_end(ti: Any, client: Any, why: str) -> None:
    place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "key": NOTE}
    own = client.xcoms.get(**place, map_index=ti.map_index).value
    # It may have been killed after it had noted why it failed.
    if not own or own.get("try_number") != ti.try_number:
        client.xcoms.set(**place, value=note(ti, why), map_index=ti.map_index)
