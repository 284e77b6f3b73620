# SPDX-License-Identifier: Apache-2.0
"""The button "Release" of each task in Airflow's UI, which leads to the commit of its run.

Airflow loads it by the entry point ``airflow.plugins``. Its own link, under "Dag Version(s)", is
that of a row that Airflow moves on to each new release that leaves the DAG's structure alone
(``SerializedDagModel.write_dag``): runs of old releases would lead to the newest one. A row for
each release would stay in the scheduler's memory for good (``DBDagBag``). What a run is pinned to
is in the run.
"""

import os
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from rax.airflow._releases import release_url


class ReleaseLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow is not here when types are checked
    """Asked by the API server when somebody looks at a task."""

    name = "Release"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's names
        """Return the page of the commit that the task's run is pinned to, or nothing."""
        # Imported here, since the processes of tasks load plugins too and have no database.
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        question = select(DagRun.bundle_version).where(
            DagRun.dag_id == ti_key.dag_id, DagRun.run_id == ti_key.run_id
        )
        with create_session(scoped=False) as session:
            return release_url(session.scalar(question)) or ""


class ReleasePlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow is not here when types are checked
    """Has the button where ``RAX_RELEASE_URL`` says where releases can be looked at."""

    name = "rax_release"
    global_operator_extra_links: ClassVar[list[Any]] = (
        [ReleaseLink()] if os.environ.get("RAX_RELEASE_URL") else []
    )
