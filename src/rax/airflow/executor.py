# SPDX-License-Identifier: Apache-2.0
"""Airflow's CeleryExecutor, whose tasks wait while the broker is away.

Airflow loads it by ``[core] executor = rax.airflow.executor.CeleryExecutor``. A DAG may call it
``CeleryExecutor``, as Airflow's own.
"""

from typing import Any

from airflow.providers.celery.executors import celery_executor

__all__ = ["CeleryExecutor"]

# How long the broker may take to answer, in seconds. The scheduler's loop stands still meanwhile,
# and its heartbeat may be no older than 30 s.
ANSWER_SECONDS = 1


class CeleryExecutor(celery_executor.CeleryExecutor):  # type: ignore[misc]  # Airflow is not here when types are checked
    """An executor that publishes tasks only to a broker that answers.

    A task that is published to one that does not fails at once, or holds the scheduler up for as
    long as it is tried again. Here it stays with the executor, until the broker is back or
    ``[scheduler] task_queued_timeout`` is over.
    """

    _broker_is_away = False

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
