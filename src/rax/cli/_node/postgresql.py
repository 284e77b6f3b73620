# SPDX-License-Identifier: Apache-2.0
"""The metadata database, where it is on this machine: whether PostgreSQL answers."""

from pathlib import Path

from rax.cli._node._commands import completed
from rax.cli._node._part import ABSENT, Part, Problem
from rax.cli._node._servers import EVERYWHERE, options, unit_problem
from rax.cli._node._units import units

# Role metadata_db makes this folder, which another PostgreSQL than ours does not have.
FOLDER = Path("/etc/airflow-metadata-db")
_SOCKET = "/var/run/postgresql"
_UNITS = "postgresql@*.service"
_DEFAULT_PORT = "5432"
MAX_REPLY_SECONDS = 5
# pg_isready's exit codes (PostgreSQL's documentation).
_SAID = {
    1: "it refuses connections: it is starting, or shutting down",
    2: f"no answer within {MAX_REPLY_SECONDS} s",
    3: "pg_isready could not ask",
}


def postgresql() -> Part:
    """Ask whether it takes connections, at its socket and at every address; without a password."""
    if not FOLDER.exists():
        return ABSENT
    settings = options(FOLDER / "postgresql.conf")
    port = settings.get("port", _DEFAULT_PORT)
    listed = settings.get("listen_addresses", "localhost").split(",")
    hosts = [_SOCKET, *(host.strip() for host in listed if host.strip())]
    problems = [p for unit in units(_UNITS) for p in unit_problem("postgresql", unit)]
    found = {}
    for host in dict.fromkeys(EVERYWHERE.get(host, host) for host in hosts):
        done = completed("pg_isready", "--quiet", f"--host={host}", f"--port={port}",
                         f"--timeout={MAX_REPLY_SECONDS}")  # fmt: skip
        problem = "pg_isready is not on this machine" if done is None else ""
        if done and done.returncode:
            problem = _SAID.get(done.returncode, f"pg_isready ended with {done.returncode}")
        found[host] = problem or "answers"
        if problem and not problems:
            look = f"{host}, port {port}: {problem}; `journalctl -u 'postgresql@*'`"
            problems.append(Problem("postgresql", "silent", f"{look}, /var/log/postgresql"))
    return Part(found, [f"{host} {said}" for host, said in found.items()], problems)
