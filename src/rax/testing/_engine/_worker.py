# SPDX-License-Identifier: Apache-2.0
"""The process of a case: forked from the one that has Airflow, it has the case's settings alone."""

import contextlib
import os
import resource
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from rax import _laptop
from rax.errors import RaxError
from rax.testing._engine import _namespaces
from rax.testing._engine._denied import Denials
from rax.testing._engine._events import Done, Phase, Writer
from rax.testing._engine._request import Request
from rax.testing._model import RunKind
from rax.testing._services import Services

# What an author's shell says of languages and of programs; all else may differ from node to node.
_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ")


def work(request: Request, bell: int, logs: Mapping[RunKind, int], *, guarded: bool) -> None:
    """Do all that a case asks for.

    :param bell: a pipe that tells of events
    :param logs: where each run writes
    :param guarded: whether Python has to refuse what no namespace does
    """
    writer = Writer(request.events, bell)
    os.dup2(next(iter(logs.values())), 1)
    os.dup2(1, 2)
    trouble = ""
    kept: tuple[str, ...] = ()
    try:
        kept = _work(request, writer, logs, guarded=guarded)
    except RaxError as error:
        trouble = str(error)
    _flush()
    writer.write(Done(trouble, kept))
    while kept:
        # Whoever has asked for it ends this process.
        signal.pause()


def _work(
    request: Request, writer: Writer, logs: Mapping[RunKind, int], *, guarded: bool
) -> tuple[str, ...]:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    given = request.case.given
    writer.write(Phase("starting what is given"))
    _set_environment(_environment(request))
    request.given.mkdir(0o700)
    services = Services(
        given,
        request.given,
        request.root,
        request.shared,
        memory=_memory(request, guarded=guarded),
        keep=request.keep,
    )
    denials = Denials(writer, refuse=guarded)
    with services:
        os.environ.update(services.environment)
        os.environ["HOME"] = str(services.work)
        os.chdir(services.work)
        _open_database(request)
        sys.path += _laptop.import_path(request.root, request.dags_folder)
        sys.dont_write_bytecode = True
        from rax.testing._engine._runs import Runs

        def begin(kind: RunKind) -> None:
            _flush()
            os.dup2(logs[kind], 1)
            os.dup2(1, 2)

        denials.watch()
        Runs(request, services, writer, denials, begin).make()
        return services.kept() if request.keep else ()


def _memory(request: Request, *, guarded: bool) -> Path | None:
    """Return a folder in memory, None where the case has no namespaces for it, or stays."""
    if guarded or request.keep:
        return None
    request.memory.mkdir(0o700)
    is_held = _namespaces.keep_in_memory(request.memory, request.max_memory_mib)
    return request.memory if is_held else None


def _environment(request: Request) -> dict[str, str]:
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    found |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    temporary = request.folder / "tmp"
    temporary.mkdir(0o700)
    request.home.mkdir(0o700)
    return {
        **found,
        **_laptop.settings(request.root, request.dags_folder),
        "AIRFLOW_HOME": str(request.home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{request.home}/airflow.db",
        "AIRFLOW__LOGGING__JSON_LOGS": "True",
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "RAX_ALERTING_SPOOL": str(request.folder / "spool"),
    }


def _set_environment(environment: Mapping[str, str]) -> None:
    import tempfile

    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
    # It may have looked already.
    tempfile.tempdir = None


def _open_database(request: Request) -> None:
    """Have Airflow use a database of this case alone."""
    from airflow import settings

    from rax.testing._engine._api import ExecutionApi

    shutil.copyfile(request.template, request.home / "airflow.db")
    settings.configure_vars()
    settings.configure_orm()
    ExecutionApi.installed().start()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
