# SPDX-License-Identifier: Apache-2.0
"""The process that has Airflow: a program of its own, started by ``_server``.

It is run by its path, isolated (``python -I``), with a socket's descriptor, the path of the empty
metadata database and the folder of all cases; with nothing of a repository. When it can be forked,
it writes a line, ``ready``, or ``failed`` with the reason. Then it reads, and forks for each case.

It reads ``run`` with a pickled Request in base64, and ``end``, which ends the case that runs. It
writes ``begun`` with what stands in for namespaces, if anything does, ``look`` when the case has
told of something, ``over`` with the reason where it ends a case itself, and ``ended`` with what
``os.waitpid`` says of the case's process, or -1 where nothing is known of it, once all that the
case has started is gone.
"""

import base64
import contextlib
import fcntl
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

_HOME = str(Path(__file__).parents[3])
if _HOME not in sys.path:
    sys.path.insert(0, _HOME)

from rax._garbage import kept_for_forks  # noqa: E402 - found by the lines above
from rax._processes import adopt_orphans, end_orphans  # noqa: E402 - the same
from rax._temporary import hold, remove  # noqa: E402 - the same
from rax.testing._engine import _cage  # noqa: E402 - the same
from rax.testing._engine._logs import Log  # noqa: E402 - the same
from rax.testing._engine._request import Request  # noqa: E402 - the same
from rax.testing._engine._watch import Watch  # noqa: E402 - the same
from rax.testing._model import RunKind  # noqa: E402 - the same

_MAX_LINE_BYTES = 64 * 2**20
_MAX_DESCRIPTORS = 1 << 16
# How many bytes of a pipe are read at once, each of which says the same.
_MAX_RINGS = 1 << 12


class Gone(Exception):  # noqa: N818 - it is no error
    """Whoever has started this process is no longer there."""


class Lines:
    """The lines of a socket, both ways."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def fileno(self) -> int:
        """Return the socket, for ``select``."""
        return self._connection.fileno()

    def read(self) -> list[str]:
        """Wait for something, and return the lines that are whole."""
        try:
            more = self._connection.recv(1 << 20)
        except ConnectionError:
            more = b""
        if not more:
            raise Gone
        *lines, self._rest = (self._rest + more).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            raise Gone
        return [line.decode() for line in lines]

    def write(self, line: str) -> None:
        """Write a line."""
        try:
            self._connection.sendall(f"{line}\n".encode())
        except OSError:
            raise Gone from None


def main() -> None:
    """Do what whoever has started this asks for, until that is gone."""
    lines = Lines(socket.socket(fileno=int(sys.argv[1])))
    template, folder = map(Path, sys.argv[2:])
    # As long as this is here, also where whoever has started it is killed.
    hold(folder)
    try:
        with _ended_with(lines, folder):
            _warm_up(template)
        lines.write("ready")
        _serve(lines)
    except Gone:
        # It removes the folder itself, unless it was killed.
        remove(folder)
    except Exception as error:
        lines.write(f"failed {' '.join(str(error).split()) or type(error).__name__}")
        raise


def _warm_up(template: Path) -> None:
    with kept_for_forks():
        from airflow import settings

        from rax.testing._engine._warm_up import warm_up

        settings.initialize()
        warm_up(Path(os.environ["AIRFLOW_HOME"]), template)


@contextlib.contextmanager
def _ended_with(lines: Lines, folder: Path) -> Iterator[None]:
    """End this process at once when the other end closes: nobody reads it as yet."""

    def end(_number: int, _frame: FrameType | None) -> None:
        remove(folder)
        os._exit(1)

    signal.signal(signal.SIGIO, end)
    flags = fcntl.fcntl(lines, fcntl.F_GETFL)
    fcntl.fcntl(lines, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lines, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(lines, fcntl.F_SETFL, flags)
        signal.signal(signal.SIGIO, signal.SIG_DFL)


def _serve(lines: Lines) -> None:
    adopt_orphans()
    refusal = _cage.refusal()
    while True:
        for line in lines.read():
            verb, _space, content = line.partition(" ")
            # Else it is about a case that has ended meanwhile.
            if verb == "run":
                # Of whoever has started this process.
                request: Request = pickle.loads(base64.b64decode(content))  # noqa: S301 - the same
                refused = refusal if request.namespaces else "namespaces are not asked for"
                lines.write(f"begun {_guard(refused)}" if refused else "begun")
                status = _run(request, lines, namespaces=not refused)
                lines.write(f"ended {status}")


def _guard(refused: str) -> str:
    """Say what stands in for namespaces, and what is beyond it."""
    return f"{refused}: Python's own connections are refused, those of other programs are not"


def _run(request: Request, lines: Lines, *, namespaces: bool) -> int:
    """Run a case in a process of its own; return how that has ended."""
    bell, ring = os.pipe()
    report, reporting = os.pipe()
    logs = {kind: Log(request.log(kind)) for kind in request.case.runs}
    writing = {kind: log.writing for kind, log in logs.items()}
    holder = os.fork()
    if not holder:
        _close_others({ring, reporting, *writing.values()})
        _cage.hold(
            lambda: _work(request, ring, writing, guarded=not namespaces),
            reporting,
            (ring, *writing.values()),
            namespaces=namespaces,
        )
    for descriptor in (ring, reporting, *writing.values()):
        os.close(descriptor)
    said = b""
    try:
        said = _follow(lines, bell, report, logs.values(), Watch(request.max_memory_mib))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
        # The holder, and what it has left.
        end_orphans()
        os.close(bell)
        os.close(report)
        for log in logs.values():
            log.close()
    return int(said) if said.strip().isdigit() else -1


def _work(request: Request, bell: int, logs: Mapping[RunKind, int], *, guarded: bool) -> None:
    from rax.testing._engine import _worker

    _worker.work(request, bell, logs, guarded=guarded)


def _close_others(kept: set[int]) -> None:
    """Close what a case has no use for, such as the way to whoever has started this process."""
    last = 2
    for descriptor in [*sorted(kept), _MAX_DESCRIPTORS]:
        os.closerange(last + 1, descriptor)
        last = descriptor


def _follow(lines: Lines, bell: int, report: int, logs: Iterable[Log], watch: Watch) -> bytes:
    """Pass on what a case tells until it has ended; return the report of that."""
    said = b""
    waiting: set[Any] = {lines, bell, report, *logs}
    while report in waiting:
        ready = select.select(waiting, [], [], watch.pause())[0]
        if reason := watch.reason():
            lines.write(f"over {reason}")
            return b""
        # Before it is told that there is something, which may be about what was logged.
        for log in logs:
            if log in ready and not log.drain():
                waiting.remove(log)
        if bell in ready:
            if os.read(bell, _MAX_RINGS):
                lines.write("look")
            else:
                waiting.remove(bell)
                watch.silent()
        if lines in ready and "end" in lines.read():
            return b""
        if report in ready:
            if more := os.read(report, _MAX_RINGS):
                said += more
            else:
                waiting.remove(report)
    return said


if __name__ == "__main__":
    main()
