# SPDX-License-Identifier: Apache-2.0
"""The releases that unfinished DAG runs are pinned to, which must not be removed.

A task locks its release while it runs. A run may be without one for long, in a queue or waiting
for a trigger, and airflow-dag-sync cannot ask Airflow's database. So whoever can, and lives as
long as the node's Airflow, locks the releases of all such runs: the manager of the DAG processor.
"""

import logging
from pathlib import Path

from rax.airflow._release_lock import SHA, ReleaseLock

log = logging.getLogger(__name__)


class PinnedReleases:
    """The locks on the releases of one bundle's unfinished runs, as far as this node has them.

    :param bundle: the bundle's name
    :param releases: the folder of the releases, each named by its sha
    """

    def __init__(self, bundle: str, releases: Path) -> None:
        self._bundle = bundle
        self._releases = releases
        self._locks: list[ReleaseLock] = []
        self._failing = False

    def update(self) -> None:
        """Lock what is pinned now, and let go of what no longer is.

        This never raises: while the database does not answer, the locks stay as they are.
        """
        try:
            pinned = [version for version in _pinned(self._bundle) if SHA.fullmatch(version)]
            taken = [ReleaseLock.take(self._releases / sha) for sha in pinned]
        except Exception:
            if not self._failing:
                log.exception(
                    "The releases that runs of bundle %s are pinned to cannot be found: "
                    "those that were locked until now stay locked",
                    self._bundle,
                )
            self._failing = True
            return
        self._failing = False
        # All are locked anew, since a release may have been removed by hand and made again.
        self._locks = [lock for lock in taken if lock]


def _pinned(bundle: str) -> set[str]:
    """Ask the metadata database for the versions of the bundle that unfinished runs have."""
    # Imported here, since the processes of tasks have no database, nor the time to load its models.
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from sqlalchemy import select

    query = (
        select(DagRun.bundle_version)
        .join(DagModel, DagModel.dag_id == DagRun.dag_id)
        .where(
            DagModel.bundle_name == bundle,
            DagRun.state.in_(State.unfinished_dr_states),
            DagRun.bundle_version.is_not(None),
        )
        .distinct()
    )
    # The session is one of its own, so that the caller's is left alone.
    with create_session(scoped=False) as session:
        return set(session.scalars(query))
