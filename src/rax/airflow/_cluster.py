# SPDX-License-Identifier: Apache-2.0
"""What the metadata database says of the whole cluster; for nodes that may read it."""

from datetime import UTC, datetime
from typing import Any

from rax._printable import one_line

# Airflow's names of the components that say there that they are alive.
JOBS = ("SchedulerJob", "DagProcessorJob", "TriggererJob")
# With more, one line says how many there are.
MAX_IMPORT_ERRORS = 20
MAX_REASON_CHARACTERS = 300


def heartbeats() -> list[dict[str, Any]]:
    """Return the newest heartbeat of each component of each host, in seconds before now.

    One that was stopped is none of them; one that was killed is.
    """
    from airflow import settings
    from airflow.jobs.job import Job, JobState
    from sqlalchemy import func, select

    question = (
        select(Job.job_type, Job.hostname, func.max(Job.latest_heartbeat))
        .where(Job.state == JobState.RUNNING, Job.job_type.in_(JOBS))
        .group_by(Job.job_type, Job.hostname)
    )
    now = datetime.now(UTC)
    with settings.Session() as session:
        rows = session.execute(question).all()
    return [
        {"type": kind, "hostname": host, "age_seconds": max(0, int((now - beat).total_seconds()))}
        for kind, host, beat in rows
        if host and beat
    ]


def import_errors() -> list[tuple[str, str]]:
    """Return the files that cannot be imported, each with the last line of its traceback.

    What an author's exception says may hold a password: those of this node are masked.
    """
    from airflow import settings
    from airflow.models.errors import ParseImportError
    from sqlalchemy import func, select

    question = select(ParseImportError.filename, ParseImportError.stacktrace).order_by(
        ParseImportError.filename
    )
    with settings.Session() as session:
        count = session.scalar(select(func.count()).select_from(ParseImportError)) or 0
        rows = session.execute(question.limit(MAX_IMPORT_ERRORS)).all()
    found = [(one_line(str(file)), _reason(str(trace or ""))) for file, trace in rows]
    if count > len(found):
        found.append(("DAGs", f"{count - len(found)} more files cannot be imported"))
    return found


def _reason(trace: str) -> str:
    from rax.alerting._secrets import hide

    last = next((line for line in reversed(trace.splitlines()) if line.strip()), "no reason given")
    return one_line(f"it cannot be imported: {hide(last)}", MAX_REASON_CHARACTERS)
