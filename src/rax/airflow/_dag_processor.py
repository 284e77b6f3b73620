# SPDX-License-Identifier: Apache-2.0
"""Whether a callback runs in Airflow's DAG processor, where most questions get no answer."""

import traceback

_MODULE = "airflow.dag_processing.processor"


def is_caller() -> bool:
    """Return whether the DAG processor has called, and not the process of a task.

    It runs the callbacks of runs, and those of tasks whose own process could not. There is no
    supervisor of a task there: ``ToManager`` in Airflow's ``dag_processing/processor.py`` names
    the few messages that are answered, among them those that read XComs and the states of tasks.
    Any other is dropped, and whoever sent it, such as ``xcom_push``, waits until the process is
    killed, with all the callbacks that it had still to run.
    """
    frames = traceback.walk_stack(None)
    return any(frame.f_globals.get("__name__") == _MODULE for frame, _line in frames)
