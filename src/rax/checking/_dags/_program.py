# SPDX-License-Identifier: Apache-2.0
"""The process that has Airflow: a program of its own, started by ``_process``.

It is run by its path, isolated (``python -I``), in an empty folder, and reads one question a line
from standard input:

``{"about": {"dags": folder, "airflow": [[module, name or null], …], "others": [the same, …]}}``
    What Airflow and the environment have; nothing of a repository is run. Answered by ``{"version",
    "airflow": [[verdict, text], …], "others": [what is lacking, or null, …], "dag_arguments":
    [name, …], "searched": [path, …]}``.
``{"load": {"file": path, "root": folder, "path": [folder, …], "seconds": number}}``
    Load a file as Airflow does to find DAGs, in a process of its own. Answered by ``{"status": what
    wait() says of that process, "late": whether it had to be ended, "left": whether it left others
    running, "said": its answer as text}``.

Answers go, one a line, to the descriptor that is its only argument: standard output and error are
anybody's.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

_HOME = str(Path(__file__).parents[3])
if _HOME not in sys.path:
    sys.path.insert(0, _HOME)

from rax._garbage import kept_for_forks  # noqa: E402 - found by the lines above
from rax._processes import adopt_orphans, end_orphans  # noqa: E402 - the same

# What a loaded file may say of itself; more is cut, and then has no form.
MAX_ANSWER_BYTES = 4_000_000
# A file ends itself when its time is over; one that does not is ended a little later.
_MAX_SECONDS_MORE = 5
# How often to look whether a process has ended that has not closed its pipe.
_PAUSE_SECONDS = 0.02


def main() -> None:
    """Answer each question on standard input."""
    with kept_for_forks():
        import airflow  # noqa: F401 - what all the rest needs; by it this fails, if it does

        from rax.checking._dags import _environment

    answers = int(sys.argv[1])
    adopt_orphans()
    drivers: set[str] = set()
    warm = False
    for line in sys.stdin:
        ((kind, question),) = json.loads(line).items()
        if kind == "about":
            answer = _environment.answer(question)
            drivers = _drivers({module for module, _name in question["others"]})
        else:
            if not warm:
                _warm_up(drivers)
                warm = True
            answer = _load(question, answers)
        _write(answers, json.dumps(answer).encode() + b"\n")


def _drivers(modules: set[str]) -> set[str]:
    """Return the drivers of PostgreSQL that these modules may lead to."""
    tops = {module.partition(".")[0] for module in modules}
    return (tops & {"psycopg", "psycopg2"}) | ({"psycopg2"} if "sqlalchemy" in tops else set())


def _warm_up(drivers: set[str]) -> None:
    """Import what every file needs, so that none of them is charged for it.

    :param drivers: what has to be here before a file is loaded, so that it can be guarded
    """
    with kept_for_forks():
        import airflow.sdk
        import airflow.serialization.serialized_objects  # noqa: F401 - the same

        import rax.airflow._dag_loading
        import rax.airflow.workflow  # noqa: F401 - the same

        for driver in drivers:
            with contextlib.suppress(ImportError):
                importlib.import_module(driver)


def _load(question: dict[str, Any], answers: int) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _be_loaded(question, writing, (answers, reading))
    os.close(writing)
    ends = time.monotonic() + question["seconds"] + _MAX_SECONDS_MORE
    said, status = _listen(child, reading, ends)
    late = status is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        status = os.waitpid(child, 0)[1]
    os.close(reading)
    return {"status": status, "late": late, "left": end_orphans(), "said": said.decode("latin-1")}


def _listen(child: int, reading: int, ends: float) -> tuple[bytes, int | None]:
    """Return what a process writes until it has ended, and how it has; None for not in time."""
    said, status, is_open = b"", None, True
    while time.monotonic() < ends and len(said) <= MAX_ANSWER_BYTES:
        ready = is_open and select.select([reading], [], [], _PAUSE_SECONDS)[0]
        if ready:
            more = os.read(reading, 65536)
            said, is_open = said + more, bool(more)
            # Others may hold the pipe open, and none of them counts once the process has ended.
        elif status is not None:
            return said, status
        elif not is_open:
            time.sleep(_PAUSE_SECONDS / 10)
        if status is None:
            done, found = os.waitpid(child, os.WNOHANG)
            status = found if done else None
            if status is not None and not is_open:
                return said, status
    return said, status


def _be_loaded(question: dict[str, Any], writing: int, others: tuple[int, ...]) -> None:
    """In the new process: load the file, say what came of it, and end."""
    # Kept here, since the file may put others in their places.
    dumps, write, leave = json.dumps, _write, os._exit
    code = 1
    try:
        os.setsid()
        for descriptor in others:
            os.close(descriptor)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        from rax.airflow import _dag_loading

        write(writing, dumps(_dag_loading.load(**question)).encode())
        code = 0
    finally:
        leave(code)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


if __name__ == "__main__":
    main()
