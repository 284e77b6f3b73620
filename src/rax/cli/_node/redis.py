# SPDX-License-Identifier: Apache-2.0
"""The broker, where it is on this machine: whether Redis answers at every address."""

import socket
from pathlib import Path

from rax.cli._node._part import ABSENT, Part, Problem
from rax.cli._node._servers import EVERYWHERE, options, unit_problem
from rax.cli._node._units import units

# Role broker makes this folder, which another Redis than ours does not have.
FOLDER = Path("/etc/airflow-broker")
_UNIT = "redis-server.service"
_DEFAULT_PORT = "6379"
MAX_REPLY_SECONDS = 5.0
_MAX_REPLY_BYTES = 200
# It wants a password before anything else, which is an answer.
_GOOD = (b"+PONG", b"-NOAUTH")


def redis() -> Part:
    """Ping it without a password."""
    if not FOLDER.exists():
        return ABSENT
    settings = options(FOLDER / "redis.conf")
    port = settings.get("port", _DEFAULT_PORT)
    # A minus is before an address that the machine need not have.
    hosts = [host.removeprefix("-") for host in settings.get("bind", "127.0.0.1").split()]
    problems = [problem for unit in units(_UNIT) for problem in unit_problem("redis", unit)]
    found = {}
    for host in dict.fromkeys(EVERYWHERE.get(host, host) for host in hosts):
        problem = _silence(host, port)
        found[host] = problem or "answers"
        if problem and not problems:
            look = f"{host}, port {port}: {problem}; `journalctl -u {_UNIT}`, /var/log/redis"
            problems.append(Problem("redis", "silent", look))
    return Part(found, [f"{host} {said}" for host, said in found.items()], problems)


def _silence(host: str, port: str) -> str:
    """Return why it is not well, and nothing if it is."""
    try:
        with socket.create_connection((host, int(port)), MAX_REPLY_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            reply = connection.recv(_MAX_REPLY_BYTES)
    except TimeoutError:
        return f"no answer within {MAX_REPLY_SECONDS:g} s"
    except (OSError, ValueError, OverflowError) as error:
        return f"no answer: {getattr(error, 'strerror', None) or type(error).__name__}"
    if reply.startswith(_GOOD):
        return ""
    return f"it answers {reply.decode(errors='replace').strip() or 'nothing'}"
