# SPDX-License-Identifier: Apache-2.0
"""Remove what is old from Airflow's metadata database.

What ``airflow db clean`` does well is left to it: tables of which each row stands for itself. It is
kept from runs, tasks and versions of DAGs. It removes tasks by the day that they started on, also
those of a run that goes on (they run again then) and of the last run (``depends_on_past`` looks
there), and ends with an error where a DAG is gone of which a task is left (apache/airflow#71864,
#56192). So a run goes here when it has ended and a newer one of its kind is there, with all that
belongs to it, as the database's own foreign keys have it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

# Tables of `airflow db clean` by age, and those whose rows say until when they are good.
AGED_TABLES = [
    "asset_event",
    "callback",
    "connection_test_request",
    "deadline",
    "import_error",
    "job",
    "log",
    "partitioned_asset_key_log",
]
EXPIRING_TABLES = ["revoked_token", "session", "task_state_store"]
# Each batch is a transaction of its own: the scheduler never waits long for one.
RUNS_PER_BATCH = 100
VERSIONS_PER_BATCH = 100
ROWS_PER_BATCH = 10_000
# The names of what `airflow db clean` keeps aside unless it is told not to (db_cleanup.py).
_ARCHIVE = re.compile(r"_airflow_deleted__\w+?__(\d{14})(__b\d+)?")


def remove_old_rows(days: int, now: datetime) -> list[str]:
    """Remove what was over so many days ago, and what has expired; return what went wrong.

    With 0 days, what has expired goes alone. A step that fails keeps no other from its work.
    """
    before = now - timedelta(days=days)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("expired rows", lambda: _clean(EXPIRING_TABLES, now)),
    ]
    if days:
        steps += [
            ("runs", lambda: _remove_runs(before)),
            ("versions of DAGs", lambda: _remove_versions(before)),
            ("old rows", lambda: _clean(AGED_TABLES, before)),
            ("archives of airflow db clean", lambda: _remove_archives(before)),
        ]
    refusal = _refusal()
    if refusal:
        return [refusal]
    problems = []
    for name, step in steps:
        try:
            step()
        except Exception as error:
            # Whatever it is, the others go on.
            problems.append(f"{name} were not removed: {_reason(error)}")
    return problems


def _refusal() -> str:
    """Return why nothing may be removed now; empty where all is well."""
    from airflow.utils import db

    try:
        db.check_migrations(timeout=0)
    except TimeoutError:
        return "the metadata database is not that of the installed Airflow: site.yml migrates it"
    except Exception as error:
        return f"the metadata database can't be read: {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    """Return the first line of what the database says, without the statement and its values."""
    said = getattr(error, "orig", None) or error
    return f"{type(said).__name__}: {(str(said).splitlines() or [''])[0]}"


def _clean(tables: list[str], before: datetime) -> None:
    """Do what ``airflow db clean --skip-archive`` does."""
    from airflow.utils.db_cleanup import run_cleanup

    run_cleanup(
        clean_before_timestamp=before,
        table_names=tables,
        confirm=False,
        skip_archive=True,
        batch_size=ROWS_PER_BATCH,
        error_on_cleanup_failure=True,
    )


def _remove_runs(before: datetime) -> None:
    """Remove runs that had ended by then, but for the newest of each DAG and kind of run.

    From the newest ones the scheduler takes when a DAG is due, and tasks what the last run did.
    """
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import State
    from sqlalchemy import and_, delete, func, select

    due = func.coalesce(DagRun.logical_date, DagRun.run_after)

    newest = (
        select(DagRun.dag_id, DagRun.run_type, func.max(due).label("due"))
        .group_by(DagRun.dag_id, DagRun.run_type)
        .subquery()
    )
    ended = and_(
        DagRun.state.in_(State.finished_dr_states),
        func.coalesce(DagRun.end_date, DagRun.start_date, DagRun.run_after) < before,
    )
    old = (
        select(DagRun.id)
        .join(
            newest,
            and_(newest.c.dag_id == DagRun.dag_id, newest.c.run_type == DagRun.run_type),
        )
        .where(ended, due < newest.c.due)
    )
    with settings.Session() as session:
        found = session.scalars(old).all()
        session.commit()
        for batch in _batches(found, RUNS_PER_BATCH):
            # One that a person has begun again meanwhile has not ended any longer.
            session.execute(
                delete(DagRun).where(DagRun.id.in_(batch), ended),
                execution_options={"synchronize_session": False},
            )
            session.commit()
    print(f"Removed up to {len(found)} runs that had ended before {before}.")  # noqa: T201 - the unit's journal


def _remove_versions(before: datetime) -> None:
    """Remove versions of DAGs that no run and no task is of, but for each DAG's newest."""
    from airflow import settings
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import delete, exists, func, select

    newest = (
        select(DagVersion.dag_id, func.max(DagVersion.version_number).label("number"))
        .group_by(DagVersion.dag_id)
        .subquery()
    )
    unused = (
        select(DagVersion.id)
        .join(newest, newest.c.dag_id == DagVersion.dag_id)
        .where(
            DagVersion.created_at < before,
            DagVersion.version_number < newest.c.number,
            ~exists().where(TaskInstance.dag_version_id == DagVersion.id),
            ~exists().where(TaskInstanceHistory.dag_version_id == DagVersion.id),
            ~exists().where(DagRun.created_dag_version_id == DagVersion.id),
        )
    )
    with settings.Session() as session:
        found = session.scalars(unused).all()
        session.commit()
        for batch in _batches(found, VERSIONS_PER_BATCH):
            session.execute(
                delete(DagVersion).where(DagVersion.id.in_(batch)),
                execution_options={"synchronize_session": False},
            )
            session.commit()
    print(f"Removed {len(found)} versions of DAGs from before {before}.")  # noqa: T201 - the unit's journal


def _remove_archives(before: datetime) -> None:
    """Drop what ``airflow db clean`` without ``--skip-archive`` had kept aside by then."""
    from airflow import settings
    from sqlalchemy import MetaData, Table, inspect

    bound = before.strftime("%Y%m%d%H%M%S")
    with settings.Session() as session:
        engine = session.get_bind()
        for name in inspect(engine).get_table_names():
            match = _ARCHIVE.fullmatch(name)
            if match and match[1] < bound:
                Table(name, MetaData()).drop(engine)
                print(f"Dropped {name}.")  # noqa: T201 - the unit's journal


def _batches(found: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]
