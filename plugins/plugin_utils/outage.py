# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Airflow's settings for an API server and a broker that may be away for some seconds.

The figures are of Airflow 3.3.2 and its Celery provider 3.24.0, read in their source and tried with
outages below and above the limit. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# A restart of the API server takes half a minute, and so does a worker's guard to notice that it is
# away.
MIN_OUTAGE_SECONDS = 60
# A worker that is lost is noticed only after this time, and what it ran is not begun anew before.
MAX_OUTAGE_SECONDS = 1800
# What role airflow has where an inventory says nothing.
DEFAULT_OUTAGE_SECONDS = 300

# Between two tries of a call. A task goes on that much later than the API server comes back.
RETRY_SECONDS = 5
# A call that gets no answer at all is given up after this (Airflow's default).
CALL_SECONDS = 5
# From the end of an outage until the scheduler takes a silent task for lost. The guard of a worker
# (src/rax/airflow/worker_guard.py) ends the task halfway.
LOST_SECONDS = 60

EXECUTOR = "rax.airflow.executor.CeleryExecutor"
GUARD = "rax.airflow.worker_guard"


def settings(seconds: int) -> dict[str, dict[str, Any]]:
    """Return what makes an outage of this length cost no task: section → option → value."""
    return {
        "core": {"executor": EXECUTOR},
        "workers": {
            # n tries have n - 1 waits between them, each drawn between the least and the most: as
            # these are the same, a call lasts for (n - 1) x RETRY_SECONDS, which is one wait more
            # than the outage. sdk/api/client.py: Client.request.
            "execution_api_retries": -(-seconds // RETRY_SECONDS) + 2,
            "execution_api_retry_wait_min": RETRY_SECONDS,
            "execution_api_retry_wait_max": RETRY_SECONDS,
            "execution_api_timeout": CALL_SECONDS,
            # Each of these failures lasts for a whole outage, so that the task is not ended by its
            # own supervisor, which does not know the others' limits, but by the guard of the
            # worker. sdk/execution_time/supervisor.py: _handle_heartbeat_failures.
            "max_failed_heartbeats": 3,
        },
        "scheduler": {
            # The scheduler looks at the age of the last heartbeat alone, whether it could have come
            # or not. jobs/scheduler_job_runner.py:
            # _find_and_purge_task_instances_without_heartbeats.
            "task_instance_heartbeat_timeout": seconds + LOST_SECONDS,
            # As long, a task's message may wait for a worker, and its first token is good (600 by
            # default). A worker takes no message during an outage, and a token that ends meanwhile
            # fails the task. executors/workloads/base.py: generate_token.
            "task_queued_timeout": max(600, seconds + 300),
        },
        "execution_api": {
            # A token is renewed only when a fifth of its life is left: that much has to outlive an
            # outage.
            "jwt_expiration_time": max(3600, 6 * seconds),
        },
        "celery": {
            # A try to publish a task is cut off after [celery] operation_timeout (1 s), and the
            # task is tried again by the scheduler's next loop, as often as this says. Without the
            # policy, Celery itself gives up before that, which fails the task. celery_executor.py:
            # _send_workloads.
            "task_publish_max_retries": 100000,
            "extra_celery_config": {
                "task_publish_retry_policy": {
                    "max_retries": None,
                    "interval_start": 0.2,
                    "interval_step": 0.2,
                    "interval_max": 0.4,
                },
                "imports": [GUARD],
            },
        },
        "celery_broker_transport_options": {
            # A task that runs for longer is sent to a second worker, where it is refused: a week.
            "visibility_timeout": 604800,
        },
    }


def problems(seconds: Any, given: Any) -> Iterator[str]:
    """Yield what is wrong with `airflow_outage_seconds`, and what breaks its promise.

    `given` is `airflow_settings`.
    """
    if isinstance(seconds, bool) or not re.fullmatch(r"[0-9]{1,9}", str(seconds)):
        yield "airflow_outage_seconds has to be a whole number of seconds"
    elif not MIN_OUTAGE_SECONDS <= int(seconds) <= MAX_OUTAGE_SECONDS:
        yield (
            f"airflow_outage_seconds is {int(seconds)}: it has to be from {MIN_OUTAGE_SECONDS} to"
            f" {MAX_OUTAGE_SECONDS}"
        )
    else:
        for section, options in settings(int(seconds)).items():
            own = given.get(section) if isinstance(given, Mapping) else None
            own = own if isinstance(own, Mapping) else {}
            for option in sorted(options.keys() & own.keys()):
                for problem in _contradictions(option, options[option], own[option]):
                    yield f"airflow_settings: [{section}] {option} {problem}"


def _contradictions(option: str, needed: Any, given: Any) -> Iterator[str]:
    """Yield why what the user gives for an option is not enough."""
    if option == "executor":
        # Several of them as "alias:name, name; team=name". The alias may be the common name.
        names = [re.split("[:=]", name).pop().strip() for name in re.split("[,;]", str(given))]
        if any(name.endswith("CeleryExecutor") and name != EXECUTOR for name in names):
            yield f"names an executor whose tasks fail while the broker is away: name {EXECUTOR}"
    elif isinstance(needed, dict) and not isinstance(given, Mapping):
        yield "has to be a mapping: its keys are added to those that the workers need"
    elif isinstance(needed, dict):
        for key in sorted(needed.keys() & given.keys()):
            own = given[key]
            named = own if isinstance(own, list) else []
            if own != needed[key] and not (key == "imports" and GUARD in named):
                yield f"may not change {key}, which keeps tasks through an outage: take it out"
    elif not _number(given) or float(given) < needed:
        yield (
            f"has to be at least {needed}, which follows from airflow_outage_seconds: take it out,"
            " or change that variable"
        )


def _number(given: Any) -> bool:
    """Return whether Airflow would read this as a number that is not negative."""
    return not isinstance(given, bool) and bool(re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", str(given)))
