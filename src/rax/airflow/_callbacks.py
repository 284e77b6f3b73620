# SPDX-License-Identifier: Apache-2.0
"""What Airflow calls when tasks end: it leaves notes, and opens and closes incidents.

Where a task's own process cannot do so, since it was killed or its worker is lost, the DAG
processor calls. Of a task it says nothing there: the summary tells of it, or, where that cannot
run, the scheduler does (``_failed_runs``). So each failure is told of once.
"""

import contextlib
import dataclasses
import datetime
import logging
from typing import Any

from rax.airflow._caller import DAG_PROCESSOR, is_called_by
from rax.airflow._outcomes import NOTE, is_summary, map_index, of_run, run_url
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
    if _is_left_to_the_summary(context):
        return
    ti, why = context["ti"], reason(context.get("exception"))
    check = name_of(ti.task_id, map_index(ti))
    commit = release(getattr(context["task"], "dag", None))
    log.error("The check %s failed: %s", check, why)
    details = {
        "environment": _alerts.environment(),
        "run_id": ti.run_id,
        "run": run_url(ti.dag_id, ti.run_id),
        "release": commit,
        "release_url": release_url(commit),
        "check": check,
        "reason": why,
    }
    state = _alerts.check_failed(ti.dag_id, check, why, details)
    _note(context, reason=why, alerted=state in ("sent", "spooled"))


def _is_left_to_the_summary(context: Any) -> bool:
    dag = getattr(context.get("task"), "dag", None)
    return is_called_by(DAG_PROCESSOR) and any(map(is_summary, getattr(dag, "tasks", ())))


def _note(context: Any, **fields: Any) -> None:
    if is_called_by(DAG_PROCESSOR):
        return
    ti = context["ti"]
    start = getattr(ti, "start_date", None)
    note = {
        "map_index": map_index(ti),
        "try_number": ti.try_number,
        "start": start.isoformat() if start else None,
        "end": datetime.datetime.now(datetime.UTC).isoformat(),
        **fields,
    }
    # The API server may be away.
    with contextlib.suppress(Exception):
        ti.xcom_push(NOTE, note)


def summary_succeeded(context: Any) -> None:
    """Close the incident, unless there was nothing to do, or the run was failed meanwhile."""
    found = context["task"]._found
    if (found is None or found.state == "success") and not _is_run_failed(context["ti"]):
        _alerts.run_succeeded(context["ti"].dag_id)


def summary_failed(context: Any) -> None:
    """Open the incident, or add to it, unless that is done already or is left to the scheduler."""
    if _is_left_to_the_summary(context) or _is_run_failed(context["ti"]):
        return
    ti, found = context["ti"], getattr(context["task"], "_found", None)
    if found is None or found.state != "failed":
        # Its code was never reached, or Airflow cannot store what its function returned.
        why = f"{ti.task_id}: {reason(context.get('exception'))}"
        found = found or of_run(ti.dag_id, ti.run_id, context["task"].dag)
        found = dataclasses.replace(found, problem=why)
        log.error("%s", found.headline())
    failures = [task for task in found.failures if task.state != "upstream_failed"]
    if failures and all(task.alerted for task in failures):
        log.info("The failed check has opened the incident already")
    elif _alerts.run_failed(found) == "lost":
        # Without a note, the scheduler tries again on its own node.
        return
    _note(context)


def _is_run_failed(ti: Any) -> bool:
    """Return whether the run has failed before its summary has: by its time-out, or by hand."""
    try:
        return bool(ti.get_dagrun_state(ti.dag_id, ti.run_id) == "failed")
    except Exception:
        # Without an answer: one alert too many is better than none.
        log.info("The state of the run cannot be got", exc_info=True)
        return False
