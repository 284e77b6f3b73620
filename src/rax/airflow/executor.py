# SPDX-License-Identifier: Apache-2.0
"""Airflow's CeleryExecutor, whose tasks wait while the broker is away, and which forgets none.

Airflow loads it by ``[core] executor = rax.airflow.executor.CeleryExecutor``. A DAG may call it
``CeleryExecutor``, as Airflow's own.
"""

import time
from typing import Any

from airflow.providers.celery.executors import celery_executor
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["CeleryExecutor"]

# How long the broker may take to answer, in seconds. The scheduler's loop stands still meanwhile,
# and its heartbeat may be no older than 30 s.
ANSWER_SECONDS = 1
# How often the metadata database is asked about the tasks that have no state in Celery that ends
# them. One that has ended there twice in a row is taken for ended: usually, Celery says so before.
LOOK_SECONDS = 10.0


class CeleryExecutor(celery_executor.CeleryExecutor):  # type: ignore[misc]  # Airflow is not here when types are checked
    """An executor that publishes tasks only to a broker that answers.

    A task that is published to one that does not fails at once, or holds the scheduler up for as
    long as it is tried again. Here it stays with the executor, until the broker is back or
    ``[scheduler] task_queued_timeout`` is over.

    A task whose last state in Celery was lost would hold its slot until the scheduler restarts.
    Here it does so until the metadata database has said twice that it has ended.
    """

    _broker_is_away = False
    _looked_at = 0.0
    # Celery's ids of the tasks that had ended by the last look.
    _ended: frozenset[str] = frozenset()

    def sync(self) -> None:
        """Take the states of tasks from Celery, and now and then from the metadata database."""
        super().sync()
        if self.workloads and time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._give_up_ended_tasks()

    def _give_up_ended_tasks(self) -> None:
        # What is imported is heavy, and each command of Airflow imports this module.
        from airflow.models.taskinstancekey import TaskInstanceKey

        # Callbacks have no other state than Celery's.
        asked = {
            result.task_id: key
            for key, result in self.workloads.items()
            if isinstance(key, TaskInstanceKey)
        }
        try:
            ended = frozenset(asked) - _unfinished(list(asked.values()))
        # What keeps the database from answering ends the scheduler elsewhere, if it has to.
        except SQLAlchemyError as error:
            self.log.warning("Lost states are looked for later: %s", type(error).__name__)
            return
        for task_id in ended & self._ended:
            key = asked[task_id]
            self.log.warning(
                "Celery has no last state of %s, which has ended: its slot is free", key
            )
            self.workloads.pop(key)
            self.running.discard(key)
        self._ended = ended

    def trigger_tasks(self, open_slots: int) -> None:
        """Publish what is queued, by up to so many slots, if the broker answers."""
        if (self.queued_tasks or self.queued_callbacks) and self._broker_answers():
            super().trigger_tasks(open_slots)

    def _broker_answers(self) -> bool:
        """Return whether the broker answers to a connection of its own; log when that changes."""
        transport: dict[str, Any] = {
            **(self.celery_app.conf.broker_transport_options or {}),
            "socket_connect_timeout": ANSWER_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
        }
        try:
            with self.celery_app.connection_for_write(transport_options=transport) as connection:
                # A channel of Redis begins with a ping.
                connection.channel()
        # Kombu, redis and the network raise errors with no common class, and none may end the
        # scheduler.
        except Exception as error:
            if not self._broker_is_away:
                # Its text may have the broker's URL in it.
                self.log.warning(
                    "The broker does not answer (%s): tasks wait for it", type(error).__name__
                )
            self._broker_is_away = True
            return False
        if self._broker_is_away:
            self.log.info("The broker answers again: %s tasks go on", len(self.queued_tasks))
        self._broker_is_away = False
        return True


def _unfinished(keys: list[Any]) -> frozenset[str]:
    """Return Celery's ids of those tasks that wait for a worker, or run on one."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    if not keys:
        return frozenset()
    states = (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING)
    query = select(TaskInstance.external_executor_id).where(
        TaskInstance.filter_for_tis(keys), TaskInstance.state.in_(states)
    )
    # The thread's own session is the scheduler's.
    with create_session(scoped=False) as session:
        return frozenset(session.scalars(query))
