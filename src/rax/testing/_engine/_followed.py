# SPDX-License-Identifier: Apache-2.0
"""A case that runs, by what its process tells: what it gave, or why it gave nothing more."""

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from rax._printable import one_line
from rax.airflow._run_output import Output
from rax.alerting._secrets import secret_spellings
from rax.credentials import Credential, _files
from rax.errors import RaxError
from rax.testing._engine._codec import FormError
from rax.testing._engine._events import (
    Begun,
    Denied,
    Done,
    Ended,
    Event,
    Found,
    Phase,
    Ran,
    Reader,
)
from rax.testing._engine._request import Request
from rax.testing._model import RunKind, TaskKey
from rax.testing._outputs import CaseOutput, RunOutput

_MAX_DENIED = 50


class Followed:
    """A case that runs.

    :param on_task: called when a task begins
    """

    def __init__(
        self, request: Request, on_task: Callable[[RunKind, TaskKey], None] | None
    ) -> None:
        self.request = request
        self.file: Path | None = None
        """The file that makes its DAG, once that is known."""
        self.is_ended = False
        """Whether all that it has started is gone."""
        self._on_task = on_task
        self._reader = Reader(request.events)
        self._runs: list[RunOutput] = []
        self._denied: list[str] = []
        self._doing = "the case"
        self._phase = "the case"
        self._done: Done | None = None
        self._guard = ""
        self._trouble = ""

    @property
    def is_kept(self) -> bool:
        """Whether its process waits, so that its databases stay up."""
        return self._done is not None and bool(self._done.kept)

    def take(self, line: str) -> None:
        """Take a line of the process with Airflow."""
        verb, _space, rest = line.partition(" ")
        if verb == "begun":
            self._guard = rest
            return
        if verb == "over":
            self._trouble = self._trouble or f"{self._doing} {rest}"
            return
        try:
            for event in self._reader.read():
                self._see(event)
        except (FormError, OSError) as error:
            text = f"{self._doing} has broken what the engine notes: {error}"
            self._trouble = self._trouble or one_line(text)
        if verb == "ended":
            self.is_ended = True
            if self._done is None and not self._trouble:
                self._trouble = f"{self._doing} {_how(int(rest))}"

    def late(self, seconds: float) -> None:
        """Take that its time is over."""
        self._trouble = f"{self._doing} was still running after {seconds:g} s"

    def output(self, root: Path) -> CaseOutput:
        """Return what it gave."""
        secrets = secret_spellings(_credentials(self.request.given / "credentials"))
        logs = {
            kind: _log(self.request.log(kind), root, secrets) for kind in self.request.case.runs
        }
        runs = tuple(dataclasses.replace(run, log=logs.pop(run.kind)) for run in self._runs)
        done = self._done or Done()
        return CaseOutput(
            runs=runs,
            trouble=self._trouble or done.trouble,
            denied=tuple(self._denied),
            guard=self._guard,
            kept=done.kept,
            # Of the run that was broken off; further ones have begun nothing.
            log="".join(logs.values()),
        )

    def _see(self, event: Event) -> None:
        match event:
            case Phase(text):
                self._doing = self._phase = text
            case Found(file):
                self.file = Path(file)
            case Begun(run, key):
                self._doing = str(key)
                if self._on_task is not None:
                    self._on_task(run, key)
            case Ended():
                self._doing = self._phase
            case Ran(output):
                self._runs.append(output)
            case Denied(text):
                if len(self._denied) < _MAX_DENIED:
                    self._denied.append(one_line(text))
            case Done():
                self._done = event


def _credentials(folder: Path) -> Iterator[Credential]:
    """Yield what the case was given, and what its databases have made up."""
    with contextlib.suppress(RaxError):
        for name in _files.names(folder):
            with contextlib.suppress(RaxError):
                yield Credential(name, _files.read(folder, name).values)


def _how(status: int) -> str:
    """Say how a process has ended, of which ``os.waitpid`` says this."""
    if status < 0:
        return "was ended by what it had started, or by the system"
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended the process with exit code {os.waitstatus_to_exitcode(status)}"


def _log(file: Path, root: Path, secrets: list[str]) -> str:
    """Return what a run wrote and logged, as ``rax run`` shows it."""
    shown: list[str] = []
    output = Output(root, secrets, shown.append, everything=False)
    # An author's code may have removed it.
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            output.line(line.rstrip("\n"))
    return "".join(shown)
