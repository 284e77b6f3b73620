# SPDX-License-Identifier: Apache-2.0
"""A guard in each worker: no tasks that it could not run, and none that run elsewhere by then.

Celery imports this module into a worker, as ``[celery] extra_celery_config`` says by ``imports``.
There it watches, in threads of the worker's main process, which need neither the broker nor a unit:

- A worker that has not reached the API server for PAUSE_SECONDS, or whose log directory cannot be
  written or is nearly full, takes no more tasks. They wait in the broker, or go to another worker.
- After ``[scheduler] task_instance_heartbeat_timeout`` less FENCE_SECONDS without the API server,
  it kills its tasks. The scheduler takes them for lost then, and may have them run elsewhere.

While the worker takes no tasks, ``guard.json`` in its runtime directory says since when and why.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from celery import bootsteps
from celery.signals import celeryd_init

from rax.airflow._worker_looks import ApiServer, LogDirectory, end_descendants

log = logging.getLogger(__name__)

# How often the guard looks, and how often it acts on what was seen, in seconds.
LOOK_SECONDS = 5.0
ACT_SECONDS = 1.0
# After a restart of the API server, which takes half a minute, nothing has happened.
PAUSE_SECONDS = 30.0
# From the last look that found the API server, up to 5 s after a task's last heartbeat, a look and
# its time-out pass, 10 s, before the tasks are killed. The rest is for a machine that is busy.
FENCE_SECONDS = 30.0


class Look(Protocol):
    """Something that a worker needs."""

    def problem(self) -> str | None:
        """Return what is wrong with it, or None."""


class Watch:
    """What the last look at something found, and when all was well."""

    def __init__(self, look: Look, clock: Callable[[], float]) -> None:
        """Begin as if all had been well until now."""
        self._look, self._clock = look, clock
        self._well_at = clock()
        self.problem: str | None = None
        # Whether a look ever found that all was well.
        self.has_been_well = False

    def look(self) -> None:
        """Look once. A look that raises an error has found nothing."""
        began = self._clock()
        self.problem = self._look.problem()
        if self.problem is None:
            self._well_at, self.has_been_well = began, True

    def seconds_away(self) -> float:
        """Return how long ago all was well, also while a look does not come to its end."""
        return self._clock() - self._well_at


class Guard:
    """What one worker may do, by what its watches have found."""

    def __init__(
        self,
        api: Look,
        logs: Look,
        *,
        fence_after: float,
        pool: Callable[[], Iterable[int]],
        status: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what to look at.

        :param fence_after: seconds without the API server after which tasks are killed
        :param pool: returns the processes that run tasks as their children
        :param status: the file that says why the worker takes no tasks, or None for none
        """
        self.api, self.logs = Watch(api, clock), Watch(logs, clock)
        self._fence_after, self._pool, self._status = fence_after, pool, status
        self._since = ""
        # Why the worker takes no tasks, or None.
        self.paused: str | None = None

    def act(self) -> None:
        """Draw the conclusions: pause or go on, say so, and kill the tasks when it is time."""
        reason = self._reason()
        if reason != self.paused:
            if reason is None:
                log.warning("This worker takes tasks again")
            elif self.paused is None:
                self._since = datetime.now(UTC).isoformat(timespec="seconds")
                log.error("This worker takes no more tasks: %s", reason)
            self.paused = reason
            self._write_status()
        # One that has never found the API server knows too little to kill anything.
        away = self.api.seconds_away()
        is_due = self.api.has_been_well and away > self._fence_after
        if is_due and (ended := end_descendants(self._pool())):
            log.error(
                "Killed %s processes of tasks after %.0f s without the API server: the scheduler"
                " may have these tasks run elsewhere from now on",
                ended,
                away,
            )

    def _reason(self) -> str | None:
        if self.logs.problem:
            return self.logs.problem
        if self.logs.seconds_away() > PAUSE_SECONDS:
            return "its log directory does not answer"
        if self.api.seconds_away() > PAUSE_SECONDS:
            return self.api.problem or "the API server does not answer"
        return None

    def _write_status(self) -> None:
        if self._status is None:
            return
        try:
            if self.paused is None:
                self._status.unlink(missing_ok=True)
                return
            aside = self._status.with_suffix(".new")
            aside.write_text(json.dumps({"paused": self.paused, "since": self._since}) + "\n")
            aside.replace(self._status)
        except OSError as error:
            # The worker is paused all the same.
            log.error("%s cannot be written: %s", self._status, error.strerror)

    def start(self) -> None:
        """Look and act from now on, in threads: a look may hang, and acting must not."""
        for work, seconds in (
            (self.logs.look, LOOK_SECONDS),
            (self.api.look, LOOK_SECONDS),
            (self.act, ACT_SECONDS),
        ):
            threading.Thread(
                target=_repeat, args=(work, seconds), name="worker-guard", daemon=True
            ).start()


def _repeat(work: Callable[[], None], seconds: float) -> None:
    """Do something for as long as the process lives, whatever it raises."""
    while True:
        try:
            work()
        except Exception:
            log.exception("The guard of this worker could not do its work, and tries again")
        time.sleep(seconds)


class GuardStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is not here when types are checked
    """The part of a worker that has its guard, as ``worker.guard``, from when its pool runs."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Make the guard by Airflow's settings and start it."""
        from airflow.configuration import conf

        folder = os.environ.get("RUNTIME_DIRECTORY")
        worker.guard = Guard(
            ApiServer(conf.get("core", "execution_api_server_url")),
            LogDirectory(conf.get("logging", "base_log_folder")),
            fence_after=conf.getint("scheduler", "task_instance_heartbeat_timeout") - FENCE_SECONDS,
            pool=lambda: worker.pool.info["processes"],
            status=Path(folder, "guard.json") if folder else None,
        )
        worker.guard.start()


class ConsumptionStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is not here when types are checked
    """The part of a consumer that keeps it off its queues while the guard says so.

    It is begun anew with each connection to the broker, after the queues were taken up and before
    the first message. It works in the worker's own loop: consumers are not for several threads.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        """Hold no queue."""
        super().__init__(consumer, **kwargs)
        self._held: set[str] = set()
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Follow the guard from now on."""
        self.follow(consumer)
        self._timer = consumer.timer.call_repeatedly(ACT_SECONDS, self.follow, (consumer,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery gives it
        """Leave the consumer alone."""
        if self._timer is not None:
            self._timer.cancel()

    def follow(self, consumer: Any) -> None:
        """Take the consumer off its queues, or give it back those that it was taken off."""
        tasks = consumer.task_consumer
        if consumer.controller.guard.paused:
            for name in [queue.name for queue in tasks.queues]:
                tasks.cancel_by_queue(name)
                self._held.add(name)
        elif self._held:
            # Celery's own way of leaving a queue would forget it at the next connection.
            for name in self._held:
                if not tasks.consuming_from(name):
                    tasks.add_queue(consumer.app.amqp.queues[name])
            tasks.consume()
            self._held.clear()


def install(instance: Any, **_: Any) -> None:
    """Give a worker that is being made its guard."""
    instance.app.steps["worker"].add(GuardStep)
    instance.app.steps["consumer"].add(ConsumptionStep)


celeryd_init.connect(install)
