# SPDX-License-Identifier: Apache-2.0
"""One task for each worker: running it proves that the worker runs tasks.

``python -m rax.airflow.health`` triggers it and says which workers it has; a worker adds itself.
"""

import os
import socket
from datetime import timedelta

from airflow.sdk import DAG, task

from rax.airflow.health import listed_workers

with DAG(
    "caspian_health",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    # A worker that is away must not let its task wait for it for ever.
    dagrun_timeout=timedelta(minutes=10),
    tags=["caspian"],
    doc_md=__doc__,
) as dag:
    here = os.environ.get("CASPIAN_WORKER")
    for worker in sorted({*listed_workers(), *([here] if here else [])}):

        @task(task_id=f"on_{worker}", queue=worker)  # type: ignore[untyped-decorator]  # Airflow is not here when types are checked
        def run_on(worker: str) -> str:
            """Return the host that ran this, which must be the worker it was sent to."""
            if os.environ.get("CASPIAN_WORKER") != worker:
                raise RuntimeError(f"The queue of {worker} is served by {socket.gethostname()}")
            return socket.gethostname()

        run_on(worker)
