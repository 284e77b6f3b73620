# SPDX-License-Identifier: Apache-2.0
"""What a file does beside declaring its DAGs, while Airflow loads it: it is noted, and refused.

Python says of each such act beforehand (``sys.addaudithook``). Two things are out of its sight:
libpq, whose doors are guarded here one by one, and what a library in C does by itself. This is for
people who err; it is no wall against those who mean to get out.
"""

import errno
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from rax import _libpq

# The kinds of what is noted, which are parts of the rules' names.
NETWORK, PROCESS, DATABASE, FILE = "network", "process", "database", "file"
VARIABLE, CONNECTION = "variable", "connection"
KINDS = (NETWORK, PROCESS, DATABASE, FILE, VARIABLE, CONNECTION)
# A file in a loop asks for the same thing without end.
MAX_EFFECTS = 50

_REASON = "not while Airflow loads a DAG file"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# By event of Python's audit: the kind, what it does, and which of the arguments says to what.
_EVENTS: dict[str, tuple[str, str, int | None]] = {
    "socket.connect": (NETWORK, "opens a connection to", 1),
    "socket.sendto": (NETWORK, "sends to", 1),
    "socket.sendmsg": (NETWORK, "sends a message", None),
    "socket.bind": (NETWORK, "listens at", 1),
    "socket.getaddrinfo": (NETWORK, "looks up the address of", 0),
    "socket.gethostbyname": (NETWORK, "looks up the address of", 0),
    "socket.gethostbyaddr": (NETWORK, "looks up the name of", 0),
    "subprocess.Popen": (PROCESS, "starts the program", 0),
    "os.system": (PROCESS, "starts a shell", None),
    "os.exec": (PROCESS, "becomes the program", 0),
    "os.posix_spawn": (PROCESS, "starts the program", 0),
    "os.spawn": (PROCESS, "starts the program", 1),
    "os.fork": (PROCESS, "starts another process", None),
    "os.forkpty": (PROCESS, "starts another process", None),
    "os.kill": (PROCESS, "sends a signal to a process", None),
    "os.killpg": (PROCESS, "sends a signal to a process", None),
    "sqlite3.connect": (DATABASE, "opens a database", None),
}
# Of files: which of the arguments are paths, and what is done to them.
_FILE_EVENTS: dict[str, tuple[tuple[int, ...], str]] = {
    "open": ((0,), "writes"),
    "os.truncate": ((0,), "writes"),
    "os.remove": ((0,), "removes"),
    "os.rmdir": ((0,), "removes"),
    "os.rename": ((0, 1), "renames"),
    "os.link": ((1,), "makes"),
    "os.symlink": ((1,), "makes"),
    "os.mkdir": ((0,), "makes"),
    "os.chmod": ((0,), "changes"),
    "shutil.rmtree": ((0,), "removes"),
}


class Effects:
    """What the code of a repository did, by file and line of its own."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.found: list[tuple[str, int, str, str]] = []
        # Only while the file itself is run: what this program does afterwards is its own affair.
        self.is_on = False
        self._is_busy = False

    def watch(self) -> None:
        """Watch this process from now on, to its end."""
        sys.addaudithook(self._see)
        _libpq.guard(lambda _: self.note(DATABASE, "connects to a database"), _REASON)

    def note(self, kind: str, what: str) -> bool:
        """Note what the code of the repository just does; return whether it was that code.

        What a package does while it is imported is not: it is the same in each process.
        """
        if not self.is_on:
            return False
        place = self._place(sys._getframe(1))
        if place is None:
            return False
        found = (*place, kind, what)
        if found not in self.found and len(self.found) < MAX_EFFECTS:
            self.found.append(found)
        return True

    def _place(self, frame: FrameType | None) -> tuple[str, int] | None:
        while frame is not None:
            if (file := own_file(frame.f_code.co_filename, self.root)) is not None:
                return file, frame.f_lineno
            if frame.f_code.co_name == "<module>":
                return None
            frame = frame.f_back
        return None

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or self._is_busy:
            return
        self._is_busy = True
        try:
            refused = self._is_refused(event, arguments)
        finally:
            self._is_busy = False
        if refused:
            raise PermissionError(errno.EPERM, _REASON)

    def _is_refused(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event in _FILE_EVENTS:
            return self._is_refused_file(event, arguments)
        if event not in _EVENTS:
            return False
        kind, what, index = _EVENTS[event]
        if event == "sqlite3.connect" and arguments[0] in (":memory:", b":memory:", ""):
            return False
        if event in ("os.kill", "os.killpg") and arguments[0] == os.getpid():
            return False
        return self.note(kind, f"{what} {_shown(arguments[index])}" if index is not None else what)

    def _is_refused_file(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return False
        indexes, what = _FILE_EVENTS[event]
        for index in indexes:
            path = arguments[index]
            if isinstance(path, bytes):
                path = os.fsdecode(path)
            if not isinstance(path, str):
                continue
            whole = os.path.realpath(path)
            if Path(whole).is_relative_to(self.root):
                shown = os.path.relpath(whole, self.root)
                return self.note(FILE, f"{what} {shown} in the repository")
        return False


def own_file(name: str, root: str) -> str | None:
    """Return a file of the repository relative to its root; None for that of a package."""
    if not name.startswith(f"{root}/") or "/site-packages/" in name:
        return None
    return name[len(root) + 1 :]


def _shown(value: Any) -> str:
    """Show a host, an address or a program, and no argument of it, which may be a secret."""
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    if isinstance(value, tuple) and len(value) >= 2:
        return f"{value[0]}:{value[1]}"
    if isinstance(value, str | os.PathLike):
        return str(value)
    return type(value).__name__
