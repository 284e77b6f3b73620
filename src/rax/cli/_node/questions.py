# SPDX-License-Identifier: Apache-2.0
"""All that a node is asked, in the order in which people read it."""

from rax.cli._node._ask import Question
from rax.cli._node.alerts import alerts
from rax.cli._node.answers import answers
from rax.cli._node.credentials import credentials
from rax.cli._node.disks import disks
from rax.cli._node.environment import environment
from rax.cli._node.maintenance import maintenance
from rax.cli._node.postgresql import postgresql
from rax.cli._node.redis import redis
from rax.cli._node.refresh import refresh
from rax.cli._node.release import release
from rax.cli._node.services import services
from rax.cli._node.worker import worker

QUESTIONS = {
    "release": Question(release),
    "environment": Question(environment),
    "credentials": Question(credentials),
    "services": Question(services),
    "answers": Question(answers),
    "worker": Question(worker),
    "alerts": Question(alerts),
    "disks": Question(disks),
    # Root's own files, which the account of the tasks may not read, say where these listen.
    "redis": Question(redis, as_root=True),
    "postgresql": Question(postgresql, as_root=True),
    "refresh": Question(refresh),
    "maintenance": Question(maintenance),
}
