# SPDX-License-Identifier: Apache-2.0
"""Where Celery keeps what became of tasks: their states alone, in the Redis of the broker.

Airflow loads it by ``[celery] result_backend = rax.airflow.results.StateBackend``. A task's own
result goes to the API server, so that a scheduler reads no more here than one of Celery's states.
Whoever may write to Redis can have it believe a wrong one, and no more. Celery's own backends load
pickles or import exceptions, and what they can't read ends the scheduler.
"""

import json
import logging
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from celery import states
from celery.backends.redis import RedisBackend
from kombu.utils.functional import retry_over_time
from redis.exceptions import RedisError, ResponseError

log = logging.getLogger(__name__)

# What is read of a value. One that was written here has a state, a task's id of 36 characters, and
# the names of both.
MAX_STATE_BYTES = 512
# How long Redis may take to answer. The scheduler's loop stands still meanwhile, and its heartbeat
# may be no older than 30 s.
MAX_ANSWER_SECONDS = 1
# How long a worker tries to write the last state of a task, which is the longest outage that
# airflow_outage_seconds may name; and the longest wait between two tries.
MAX_STORE_SECONDS = 1800
MAX_RETRY_SECONDS = 5
# How long a state stays where Celery is told nothing of that: long enough for a scheduler that is
# away for a night.
STATE_SECONDS = 86400


# What redis raises where it can't do what it is asked now.
AWAY = (RedisError, OSError)


def encode_state(task_id: str, state: str) -> str:
    """Return what is written of a task."""
    return json.dumps({"task_id": task_id, "status": state})


def decode_state(task_id: str, value: bytes) -> str:
    """Return the state of a task that is written in a value of Redis, whoever wrote it.

    Where there is none, or it is said of another task, this one has failed.
    """
    try:
        written = json.loads(value)
        if written["task_id"] == task_id and written["status"] in states.ALL_STATES:
            return str(written["status"])
    # A list or a number in the place of a mapping or a string; or brackets without end.
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return str(states.FAILURE)


def _is_wrong_type(error: RedisError) -> bool:
    """Return whether Redis has a list or the like in the place of a state."""
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


class StateBackend(RedisBackend):  # type: ignore[misc]  # Celery is not here when types are checked
    """Celery's backend for states alone, which nothing in Redis and no absence of it can stop."""

    def __init__(self, app: Any, url: str | None = None, **options: Any) -> None:
        """Take the broker's URL and TLS, unless another URL is given."""
        url = url or app.conf.broker_url
        secure = app.conf.broker_use_ssl
        if isinstance(secure, dict):
            app.conf.redis_backend_use_ssl = secure
        elif urlsplit(url).scheme == "rediss" and not app.conf.redis_backend_use_ssl:
            # A URL may say otherwise.
            app.conf.redis_backend_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        super().__init__(app=app, url=url, **{**options, "serializer": "json", "accept": ["json"]})
        self.connparams["socket_timeout"] = MAX_ANSWER_SECONDS
        self.connparams["socket_connect_timeout"] = MAX_ANSWER_SECONDS
        self._is_away = False

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing: the executor asks for all states at once."""

    def on_chord_part_return(self, *arguments: Any, **options: Any) -> None:
        """Do nothing: Airflow has no chords, and whoever wants one has forged it."""

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,  # noqa: ARG002 - Celery gives it
        request: Any = None,  # noqa: ARG002 - Celery gives it
        **_: Any,
    ) -> Any:
        """Write the state of a task, the last one for as long as it takes.

        It asks for nothing first, so that a worker need not be able to read states. One that can't
        be written is logged: the scheduler then asks the metadata database.
        """
        key, seconds = self.get_key_for_task(task_id), self.expires or STATE_SECONDS
        try:
            retry_over_time(
                self.client.setex,
                AWAY,
                (key, seconds, encode_state(task_id, state)),
                errback=partial(self.on_connection_error, None),
                max_retries=None if state in states.READY_STATES else 0,
                interval_start=0,
                interval_step=1,
                interval_max=MAX_RETRY_SECONDS,
                timeout=MAX_STORE_SECONDS,
            )
        except AWAY as error:
            log.error("The state %s of %s was not kept: %s", state, task_id, type(error).__name__)
        return result

    def get(self, key: bytes) -> bytes | None:
        """Return what Celery is to read of one task."""
        return self.mget([key])[0]

    def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what Celery is to read of tasks: None of one without a state, or without Redis.

        No more than MAX_STATE_BYTES of a value are fetched.
        """
        try:
            with self.client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.getrange(key, 0, MAX_STATE_BYTES)
                values = pipeline.execute(raise_on_error=False)
            for value in values:
                # While it loads its data, for example, Redis refuses each command by itself.
                if isinstance(value, RedisError) and not _is_wrong_type(value):
                    raise value
        except AWAY as error:
            if not self._is_away:
                log.warning(
                    "Redis does not answer (%s): the states of tasks wait", type(error).__name__
                )
            self._is_away = True
            return [None] * len(keys)
        if self._is_away:
            log.info("Redis answers again: the states of tasks are read")
        self._is_away = False
        return [self._readable(key, value) for key, value in zip(keys, values, strict=True)]

    def _readable(self, key: bytes, value: Any) -> bytes | None:
        """Return a value in the only form that Celery is to see."""
        if value == b"":
            return None
        task_id = self._strip_prefix(key)
        state = decode_state(task_id, value) if isinstance(value, bytes) else states.FAILURE
        return json.dumps({"task_id": task_id, "status": state, "result": None}).encode()
