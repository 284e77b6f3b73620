# SPDX-License-Identifier: Apache-2.0
"""The shape of a workflow, check → task → summary, in Airflow's own terms.

::

    from airflow.sdk import task
    from rax.workflow import Summary, answers, check, compare_counts, summary, workflow


    @workflow(schedule="@daily", tags=["ebi"])
    def ebi_load():
        @check
        def source():
            answers("EBI-ETL-DEV-01")

        @task
        def load(month):
            return {"rows": 12}

        @summary
        def report(summary: Summary):
            return compare_counts({"load": 36}, summary.rows)

        source()
        load.expand(month=[1, 2, 3])
        report()


    ebi_load()

``workflow`` is Airflow's ``@dag``, and the result is a DAG like any other.
"""

from rax.workflow._checks import answers, fresh, room
from rax.workflow._counts import compare_counts
from rax.workflow._shape import check, summary, wire, workflow
from rax.workflow._summary import Summary, TaskOutcome

__all__ = [
    "Summary",
    "TaskOutcome",
    "answers",
    "check",
    "compare_counts",
    "fresh",
    "room",
    "summary",
    "wire",
    "workflow",
]
