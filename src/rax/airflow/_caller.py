# SPDX-License-Identifier: Apache-2.0
"""Which component of Airflow has called: the same callback, or listener, is for several."""

import traceback

# It runs the callbacks of DAGs, and those of tasks whose own process could not. There is no
# supervisor of a task there: ``ToManager`` in that module names the few messages that are answered,
# among them those that read XComs. Any other is dropped, and whoever sent it, such as
# ``xcom_push``, waits until the process is killed, with all the callbacks that it had still to run.
DAG_PROCESSOR = "airflow.dag_processing.processor"
# It ends runs. The API server does too, by hand, and ``dag.test()`` in a process of its own.
SCHEDULER = "airflow.jobs.scheduler_job_runner"


def is_called_by(module: str) -> bool:
    """Return whether the code that runs was called, by whatever way, from that module."""
    frames = traceback.walk_stack(None)
    return any(frame.f_globals.get("__name__") == module for frame, _line in frames)
