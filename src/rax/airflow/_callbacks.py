# SPDX-License-Identifier: Apache-2.0
"""What Airflow calls when tasks and runs end: it leaves notes, and opens and closes incidents."""

import contextlib
import dataclasses
import datetime
import logging
from typing import Any

from rax.airflow._outcomes import (
    NOTE,
    is_summary,
    last_try_noted,
    map_index,
    of_run,
    run_url,
)
from rax.airflow._releases import release, release_url
from rax.workflow import _alerts
from rax.workflow._summary import name_of, rows_of
from rax.workflow._text import reason, shown

log = logging.getLogger("rax.workflow")


def note_success(context: Any, result: Any = None) -> None:
    """Note what the task returned: Airflow's hook ``post_execute``."""
    # Nothing that a task returned may fail it here.
    with contextlib.suppress(Exception):
        _note(context, rows=rows_of(result), shown=shown(result))


def note_failure(context: Any) -> None:
    """Note why the task failed: Airflow's ``on_failure_callback``."""
    _note(context, reason=reason(context.get("exception")))


def check_failed(context: Any) -> None:
    """Open the incident and note that it is open: ``on_failure_callback`` of a check."""
    ti, why = context["ti"], reason(context.get("exception"))
    check = name_of(ti.task_id, map_index(ti))
    log.error("The check %s failed: %s", check, why)
    details = {
        "environment": _alerts.environment(),
        "run_id": ti.run_id,
        "run": run_url(ti.dag_id, ti.run_id),
        "release": release(getattr(context["task"], "dag", None)),
        "release_url": release_url(release(getattr(context["task"], "dag", None))),
        "check": check,
        "reason": why,
    }
    alerted = _alerts.check_failed(ti.dag_id, check, why, details)
    _note(context, reason=why, alerted=alerted)


def _note(context: Any, **fields: Any) -> None:
    ti = context["ti"]
    start = getattr(ti, "start_date", None)
    note = {
        "map_index": map_index(ti),
        "try_number": ti.try_number,
        "start": start.isoformat() if start else None,
        "end": datetime.datetime.now(datetime.UTC).isoformat(),
        **fields,
    }
    # Where a worker was lost, this runs in the DAG processor, which cannot push an XCom.
    with contextlib.suppress(Exception):
        ti.xcom_push(NOTE, note)


def summary_succeeded(context: Any) -> None:
    """Close the incident, unless there was nothing to do."""
    found = context["task"]._found
    if found is None or found.state == "success":
        _alerts.run_succeeded(context["ti"].dag_id)


def summary_failed(context: Any) -> None:
    """Open the incident, or add to it, unless the failed checks have done so already."""
    ti, found = context["ti"], getattr(context["task"], "_found", None)
    if found is None or found.state != "failed":
        # The task was killed, or Airflow cannot store what its function returned.
        why = f"{ti.task_id}: {reason(context.get('exception'))}"
        found = found or of_run(ti.dag_id, ti.run_id, context["task"].dag)
        found = dataclasses.replace(found, problem=why)
        log.error("%s", found.headline())
    failures = [task for task in found.failures if task.state != "upstream_failed"]
    if failures and all(task.alerted for task in failures):
        log.info("The failed check has opened the incident already")
    else:
        _alerts.run_failed(found)
    _note(context)


def run_failed(context: Any) -> None:
    """Open the incident where the summary could not: ``on_failure_callback`` of the DAG."""
    reasons = {
        "timed_out": "the run took longer than its dagrun_timeout, and its summary was skipped",
        "all_tasks_deadlocked": "the run is stuck: none of its tasks can run, its summary neither",
    }
    why = reasons.get(context.get("reason", ""), "")
    ti = context.get("ti")
    # Nobody calls the summary's own callback when its process is killed, as for want of memory.
    if not why and ti is not None and is_summary(context["task"]) and not last_try_noted(ti):
        why = f"{ti.task_id}: was killed, or could not start"
    if why:
        found = of_run(context["dag"].dag_id, context["run_id"], context["dag"])
        _alerts.run_failed(dataclasses.replace(found, problem=why))
