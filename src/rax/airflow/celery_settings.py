# SPDX-License-Identifier: Apache-2.0
"""What Celery is told by ``[celery] celery_config_options``: JSON alone, and signed workloads.

Airflow imports it in the scheduler, which signs what it sends, and in each worker. That obeys what
is signed by one of the keys that it was given, and drops the rest. A task that lost its message so
is sent again after ``[scheduler] task_queued_timeout``.
"""

import ctypes
import os
from typing import Any

from airflow.configuration import conf
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.signals import before_task_publish, celeryd_init

from rax.airflow._signatures import Signer, Verifier, read_keys
from rax.airflow._signed_messages import sign_with, verification_step

SIGNING_VARIABLE = "RAX_WORKLOAD_KEYS"
VERIFYING_VARIABLE = "RAX_WORKLOAD_PUBLIC_KEYS"
# How much older than the time that a task may wait in its queue a message may be. The first token
# of a workload is good for no longer than that (executors/workloads/base.py: generate_token), and
# the API server refuses an older one. Before that, it refuses the second start of a task.
LATE_SECONDS = 60
# <linux/prctl.h>
PR_SET_DUMPABLE = 4

SETTINGS = {
    **DEFAULT_CELERY_CONFIG,
    "accept_content": ["json"],
    "event_serializer": "json",
    "result_accept_content": ["json"],
    "result_serializer": "json",
    "task_serializer": "json",
}


def _keys_of(variable: str) -> list[bytes]:
    """Return the keys of a variable; end the process where they can't be had."""
    try:
        return read_keys(os.environ[variable])
    except KeyError:
        raise SystemExit(f"{variable} is not set: site.yml gives it to the component") from None
    except ValueError as error:
        raise SystemExit(f"{variable}: {error}") from None


def guard_worker(instance: Any, **_: Any) -> None:
    """Have a worker that is being made obey signed messages alone."""
    bound = conf.getfloat("scheduler", "task_queued_timeout") + LATE_SECONDS
    verifier = Verifier(_keys_of(VERIFYING_VARIABLE), bound)
    instance.app.steps["consumer"].add(verification_step(verifier))


def hide_broker_url() -> None:
    """Keep the broker's URL out of what other processes of this account can read.

    Nobody reads the memory of this process, or the environment that it was started with, nor those
    of its forks. A task is one of these, and has the URL in its own memory nevertheless.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise SystemExit(f"prctl(PR_SET_DUMPABLE): {os.strerror(ctypes.get_errno())}")
    # What a task starts would have it.
    os.environ.pop("AIRFLOW__CELERY__BROKER_URL", None)


if "CASPIAN_WORKER" in os.environ:
    hide_broker_url()
if SIGNING_VARIABLE in os.environ:
    before_task_publish.connect(sign_with(Signer(_keys_of(SIGNING_VARIABLE))), weak=False)
celeryd_init.connect(guard_worker)
