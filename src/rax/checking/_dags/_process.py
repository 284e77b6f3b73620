# SPDX-License-Identifier: Apache-2.0
"""The process that has Airflow, as this side sees it: asked line by line, and ended in time."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from rax import _laptop
from rax._temporary import temporary_folder
from rax.checking._dags import _answers, _program
from rax.errors import CommandError

# Importing Airflow and all that a large repository names takes a few seconds.
MAX_ABOUT_SECONDS = 300.0
# As long as Airflow itself gives a file: [core] dagbag_import_timeout.
MAX_FILE_SECONDS = 30.0
# What it may take more until the other process has ended a file that does not end itself.
_MAX_SECONDS_MORE = 15.0
_MAX_ANSWER_BYTES = 64_000_000
_MAX_LAST_WORDS_BYTES = 4000


class GoneError(Exception):
    """The process has ended without an answer, or gave one that is none."""


class AirflowProcess:
    """A process with Airflow in it, for one repository; end it by leaving its context.

    :param root: the repository, resolved
    :param dags_folder: where its DAGs are, below it
    :param max_file_seconds: how long a file may take to be loaded
    """

    def __init__(
        self, root: Path, dags_folder: str, max_file_seconds: float = MAX_FILE_SECONDS
    ) -> None:
        self.root = root
        self._dags_folder = dags_folder
        self._max_file_seconds = max_file_seconds
        self._ends = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._errors: IO[bytes]

    def __enter__(self) -> "AirflowProcess":
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process and what it has started, if it is there; a question starts it again."""
        self._process = None
        self._ends.close()

    def about(self, airflow: list[Any], others: list[Any]) -> _answers.About:
        """Ask for what this environment has.

        :param airflow: imports of Airflow, as module and name
        :param others: the other imports
        :raises CommandError: there is no Airflow that could be asked
        """
        dags = str((self.root / self._dags_folder).resolve())
        question = {"dags": dags, "airflow": airflow, "others": others}
        try:
            return _answers.about(self._ask({"about": question}, MAX_ABOUT_SECONDS))
        except TimeoutError:
            raise CommandError(f"Airflow did not load within {MAX_ABOUT_SECONDS:.0f} s") from None
        except (GoneError, _answers.FormError):
            raise CommandError(
                f"Airflow cannot be asked: {self._last_words()}. Run this on a node, or where the "
                "packages of the nodes are"
            ) from None

    def load(self, file: str) -> _answers.Ended:
        """Have a file of the repository loaded, which runs it, and return how that ended.

        :raises GoneError: the file has ended the process with Airflow, or has written to it
        """
        path = _laptop.import_path(self.root, self._dags_folder)
        seconds = self._max_file_seconds
        whole = {"file": str(self.root / file), "root": str(self.root), "path": path}
        question = {"load": {**whole, "seconds": seconds}}
        try:
            # It may be a new process that has to load Airflow first.
            more = _MAX_SECONDS_MORE if self._process else MAX_ABOUT_SECONDS
            return _answers.ended(self._ask(question, seconds + more))
        except (TimeoutError, GoneError, _answers.FormError):
            self.end()
            raise GoneError from None

    def _ask(self, question: dict[str, Any], seconds: float) -> str:
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise GoneError from None
        return self._line(time.monotonic() + seconds).decode(errors="surrogateescape")

    def _line(self, ends: float) -> bytes:
        said = b""
        while not said.endswith(b"\n"):
            left = ends - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise TimeoutError
            more = os.read(self._answers, 1_000_000)
            said += more
            if not more or len(said) > _MAX_ANSWER_BYTES:
                raise GoneError
        return said

    def _start(self) -> subprocess.Popen[bytes]:
        home = self._ends.enter_context(temporary_folder("check"))
        credentials = home / "credentials"
        credentials.mkdir(mode=0o700)
        errors = (home / "errors").open("w+b")
        self._errors = self._ends.enter_context(errors)
        answers, writing = os.pipe()
        self._answers = answers
        self._ends.callback(os.close, answers)
        try:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, and a program of this package
                [sys.executable, "-I", _program.__file__, str(writing)],
                stdin=subprocess.PIPE, stdout=self._errors, stderr=self._errors,
                pass_fds=[writing], cwd=home, start_new_session=True,
                # Nothing of the node's own settings, which would have it ask a database.
                env={
                    **_laptop.settings(self.root, self._dags_folder),
                    "AIRFLOW__SECRETS__BACKEND": "rax.airflow._recording.RecordingBackend",
                    "AIRFLOW_HOME": str(home),
                    "RAX_CREDENTIALS_DIR": str(credentials),
                    "RAX_RELEASE_DIR": str(self.root),
                    "HOME": str(home),
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LC_ALL": "C.UTF-8",
                },
            )  # fmt: skip
        finally:
            os.close(writing)
        self._ends.callback(_end, process)
        self._process = process
        return process

    def _last_words(self) -> str:
        if self._process is not None:
            # It is about to end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _MAX_LAST_WORDS_BYTES))
        said = self._errors.read().decode(errors="replace").strip()
        return said.rpartition("\n")[2] or "it has ended without a word"


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
