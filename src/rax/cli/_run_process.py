# SPDX-License-Identifier: Apache-2.0
"""A run in a process of its own, which ends with this one, and leaves nothing but its output."""

import contextlib
import dataclasses
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rax import _laptop
from rax.airflow import _run_once
from rax.airflow._local_runs import database_template
from rax.airflow._run_once import Result, Task
from rax.cli._on_laptops import interruptible

if TYPE_CHECKING:
    import psutil

# A process that was asked to end.
_MAX_END_SECONDS = 5.0
_POLL_SECONDS = 1.0
# What prints no end of a line is shown in pieces.
_MAX_LINE_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be run."""

    root: Path
    dags_folder: str
    workflow: str
    conf: dict[str, object] | None
    # In ISO 8601; None is now.
    logical_date: str | None


class Process:
    """The run of an order, with all that it writes in a folder of its own.

    :param folder: is there, and only for this
    """

    # What Python runs, with the task as its only word.
    _program = ("-m", _run_once.__name__)

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._result = folder / "result.json"
        self._task = folder / "task.json"
        self._home = folder / "airflow"
        self._spool = folder / "spool"
        self.alerts = folder / "alerts"

    def __enter__(self) -> Self:
        self._home.mkdir()
        template, order = database_template(), self._order
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(template, self._home / "airflow.db")
        ours, self._lifeline = os.pipe()
        task = Task(
            workflow=order.workflow,
            dags=str(order.root / order.dags_folder),
            path=_laptop.import_path(order.root, order.dags_folder),
            conf=order.conf,
            logical_date=order.logical_date,
            template="" if (self._home / "airflow.db").exists() else str(template),
            result=str(self._result),
            lifeline=ours,
        )
        # A file, and no word of the command: a conf may hold what others are not to see.
        self._task.touch(0o600)
        self._task.write_text(json.dumps(dataclasses.asdict(task)))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, and a module of rax
                [sys.executable, "-P", *self._program, str(self._task)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                cwd=order.root, env=self._environment(), pass_fds=[ours], start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(ours)
        self._interrupts = contextlib.ExitStack()
        self._interrupts.enter_context(interruptible())
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        os.close(self._lifeline)
        self._interrupts.close()

    def lines(self) -> Iterator[str]:
        """Yield what the run writes, line by line, and nothing once for each second without."""
        output = self._process.stdout
        assert output is not None  # noqa: S101 - it is a pipe
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                if not selector.select(_POLL_SECONDS):
                    # What a task has left running may hold the pipe open for ever.
                    if self._process.poll() is not None:
                        break
                    yield ""
                    continue
                content = os.read(output.fileno(), 1 << 16)
                if not content:
                    break
                *whole, rest = (rest + content).split(b"\n")
                if len(rest) > _MAX_LINE_BYTES:
                    whole, rest = [*whole, rest], b""
                yield from (line.decode(errors="replace") for line in whole if line)
        if rest:
            yield rest.decode(errors="replace")

    def result(self) -> Result | None:
        """Return what became of the run once it has written all; None where it could not say."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_MAX_END_SECONDS)
        try:
            return Result(**json.loads(self._result.read_text()))
        except FileNotFoundError:
            return None

    def how_ended(self) -> str:
        """Say how the process has ended that wrote no result."""
        code = self._process.poll()
        if code is None:
            return "is still there"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended itself with exit code {code}"

    def _environment(self) -> dict[str, str]:
        root = self._order.root
        return {
            **_laptop.without_airflow(dict(os.environ)),
            **_laptop.settings(root, self._order.dags_folder),
            **_laptop.local_settings(root),
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._home}/airflow.db",
            "AIRFLOW__LOGGING__JSON_LOGS": "True",
            "PYTHONUNBUFFERED": "1",
            "RAX_ALERTING_CAPTURE": str(self.alerts),
            "RAX_ALERTING_SPOOL": str(self._spool),
        }

    def _end(self) -> None:
        """End the process and whatever it has started, also what is in a session of its own."""
        others = _descendants(self._process.pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            deadline = time.monotonic() + _MAX_END_SECONDS
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0, deadline - time.monotonic()))
        for other in others:
            with contextlib.suppress(Exception):
                other.kill()
        if self._process.stdout:
            self._process.stdout.close()


def _descendants(pid: int) -> list["psutil.Process"]:
    # Airflow brings it.
    import psutil

    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []
