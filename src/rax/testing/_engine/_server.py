# SPDX-License-Identifier: Apache-2.0
"""The process that has Airflow, as this side sees it: asked for one case after the other."""

import base64
import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from rax import _laptop
from rax._temporary import remove, temporary_folder
from rax.airflow._local_runs import database_template
from rax.checking._settings import Settings
from rax.errors import CommandError
from rax.testing._engine import _program
from rax.testing._engine._followed import Followed
from rax.testing._engine._request import Request
from rax.testing._model import Case, RunKind, Spec, TaskKey
from rax.testing._outputs import CaseOutput

# Importing Airflow, its first run and, once on a machine, making its database.
MAX_START_SECONDS = 300.0
# Killing what a case has started.
_MAX_END_SECONDS = 30.0
_MAX_LAST_WORDS_BYTES = 4000

OnTask = Callable[[RunKind, TaskKey], None]


class ServerError(CommandError):
    """The process with Airflow could not be started, or has ended."""


class Server:
    """A process that has Airflow for the cases of one repository; it ends with its context.

    It never imports anything of the repository: each case does so anew, so it sees each edit.

    :param root: the repository
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        settings = Settings.read(self._root)
        self._dags_folder = settings.dags_folder
        self.max_memory_mib = settings.flows.max_memory_mib
        """What the processes of a case may use together, and its databases in memory."""
        # Which file has made a DAG lately.
        self._files: dict[str, Path] = {}
        self._cases = 0
        self._ends = contextlib.ExitStack()
        self._running: Followed | None = None
        self.namespaces = True
        """Whether cases are held in namespaces, where the kernel allows it."""

    def __enter__(self) -> Self:
        """Start the process, which is ready some seconds later: the first case waits for it.

        :raises ServerError: it cannot be started
        """
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = None
        self._ends.close()

    @property
    def pid(self) -> int:
        """The process that has Airflow."""
        return self._process.pid

    def run(
        self,
        spec: Spec,
        case: Case,
        *,
        max_seconds: float,
        keep: bool = False,
        on_task: OnTask | None = None,
    ) -> CaseOutput:
        """Run a case, and return what it gave.

        :param max_seconds: how long it may take, all its runs together
        :param keep: whether its databases stay up, until ``release`` or the next case
        :param on_task: called when a task begins
        :raises ServerError: the process with Airflow cannot be started, or has ended
        """
        self.release()
        self.wait_until_ready()
        folder = self._folder / f"{self._cases}"
        self._cases += 1
        request = Request(
            root=self._root,
            dags_folder=self._dags_folder,
            workflow=spec.workflow,
            file=self._files.get(spec.workflow),
            case=case,
            folder=folder,
            shared=self._folder,
            template=database_template(),
            keep=keep,
            max_memory_mib=self.max_memory_mib,
            namespaces=self.namespaces,
        )
        folder.mkdir(0o700)
        request.events.mkdir(0o700)
        self._write("run " + base64.b64encode(pickle.dumps(request)).decode())
        followed = self._running = Followed(request, on_task)
        try:
            self._follow(followed, time.monotonic() + max_seconds, max_seconds)
            if followed.file is not None:
                self._files[spec.workflow] = followed.file
            return followed.output(self._root)
        finally:
            if not followed.is_kept:
                self.release()

    def release(self) -> None:
        """End what a case has kept up, or the case that runs, and remove its folder."""
        followed, self._running = self._running, None
        if followed is None:
            return
        try:
            if not followed.is_ended and self._process.poll() is None:
                self._write("end")
                self._end(followed)
        finally:
            remove(followed.request.folder)

    def _follow(self, followed: Followed, ends: float, max_seconds: float) -> None:
        while not followed.is_ended and not followed.is_kept:
            line = self._line(ends)
            if line is None:
                followed.late(max_seconds)
                self._write("end")
                self._end(followed)
            else:
                followed.take(line)

    def _end(self, followed: Followed) -> None:
        """Wait until all that a case has started is gone."""
        ends = time.monotonic() + _MAX_END_SECONDS
        while not followed.is_ended:
            line = self._line(ends)
            if line is None:
                raise self._gone("does not answer")
            followed.take(line)

    def _start(self) -> None:
        with contextlib.ExitStack() as ends:
            self._start_in(ends)
            self._ends = ends.pop_all()

    def _start_in(self, ends: contextlib.ExitStack) -> None:
        self._folder = ends.enter_context(temporary_folder("flow"))
        home, credentials = self._folder / "airflow", self._folder / "credentials"
        home.mkdir(0o700)
        credentials.mkdir(0o700)
        self._errors = ends.enter_context((self._folder / "errors").open("w+b"))
        self._connection, theirs = socket.socketpair()
        ends.callback(self._connection.close)
        self._rest, self._is_ready, self._began = b"", False, time.monotonic()
        environment = {
            **_laptop.without_airflow(dict(os.environ)),
            **_laptop.settings(self._root, self._dags_folder),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__LOGGING__JSON_LOGS": "True",
            "RAX_CREDENTIALS_DIR": str(credentials),
            "RAX_ALERTING_SPOOL": str(home / "spool"),
        }
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, and a program of this package
                [sys.executable, "-I", _program.__file__, str(theirs.fileno()),
                 str(database_template()), str(self._folder)],
                stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors,
                pass_fds=[theirs.fileno()], cwd=home, env=environment, start_new_session=True,
            )  # fmt: skip
        ends.callback(self._stop)

    def _stop(self) -> None:
        """End the process; a case that runs or is kept ends with it."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_MAX_END_SECONDS)
            return
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wait_until_ready(self) -> float:
        """Wait until it can run a case; return the seconds of its start, 0 where it had been ready.

        :raises ServerError: the process with Airflow cannot be started, or has ended
        """
        if self._process.poll() is not None:
            # The case before has ended it, or a person has.
            self._ends.close()
            self._start()
        if self._is_ready:
            return 0.0
        line = self._line(time.monotonic() + MAX_START_SECONDS)
        if line is None:
            raise self._gone(f"is not ready after {MAX_START_SECONDS:.0f} s")
        verb, _space, reason = line.partition(" ")
        if verb != "ready":
            raise ServerError(f"Airflow cannot run a DAG here: {reason}")
        self._is_ready = True
        return time.monotonic() - self._began

    def _write(self, line: str) -> None:
        try:
            self._connection.sendall(f"{line}\n".encode())
        except OSError:
            raise self._gone("has ended") from None

    def _line(self, ends: float) -> str | None:
        """Return the next line of the process; None where there is none in time."""
        while b"\n" not in self._rest:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                return None
            try:
                more = self._connection.recv(1 << 16)
            except ConnectionError:
                more = b""
            if not more:
                raise self._gone("has ended")
            self._rest += more
        line, _end, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def _gone(self, what: str) -> ServerError:
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _MAX_LAST_WORDS_BYTES))
        said = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        return ServerError(f"the process with Airflow {what}: {said or 'it said nothing'}")
