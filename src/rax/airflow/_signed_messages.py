# SPDX-License-Identifier: Apache-2.0
"""Where Celery signs a message, and where a worker looks at one before anything else does."""

import logging
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from rax._printable import one_line
from rax.airflow._signatures import HEADER, Signer, Verifier

log = logging.getLogger(__name__)

# Of what a stranger wrote, in a log.
MAX_NAME_CHARACTERS = 80


def sign_with(signer: Signer) -> Callable[..., None]:
    """Return what signs a message that Celery is about to publish (``before_task_publish``)."""

    def sign(sender: str, body: Any, headers: dict[str, Any], routing_key: str, **_: Any) -> None:
        # On a queue of Airflow's, the routing key is its name.
        headers[HEADER] = signer.header(sender, headers["id"], routing_key, body)

    return sign


def verification_step(verifier: Verifier) -> type[Any]:
    """Return the part of a worker's consumer that has it obey signed messages alone."""

    class VerificationStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is not here when types are checked
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            """Come before the handler that a consumer makes when it begins to listen."""
            make = type(consumer).create_task_handler.__get__(consumer)
            consumer.create_task_handler = lambda *given, **options: verifying(
                verifier, consumer, make(*given, **options)
            )

    return VerificationStep


def verifying(
    verifier: Verifier, consumer: Any, obey: Callable[[Any], None]
) -> Callable[[Any], None]:
    """Return what obeys a genuine message and drops any other, of which no state is kept.

    A failure would be kept as the state of whatever task the message names, and Celery would send
    on what it asks for in that case.
    """

    def handle(message: Any) -> None:
        if message.content_type == "application/json":
            queues = consumer.app.amqp.queues.consume_from
            problem = verifier.problem(message.headers, message.body, queues)
        else:
            problem = "it is not JSON"
        if problem is None:
            obey(message)
            return
        headers = message.headers if isinstance(message.headers, dict) else {}
        named = one_line(f"{headers.get('task')} {headers.get('id')}", MAX_NAME_CHARACTERS)
        log.error("Dropped a message, since %s: %s", problem, named)
        message.reject_log_error(log, consumer.connection_errors)

    return handle
