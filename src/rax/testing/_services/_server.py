# SPDX-License-Identifier: Apache-2.0
"""A server of PostgreSQL for one case: it listens at a port, and at a socket in its folder."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from rax._printable import one_line
from rax.errors import ServiceError
from rax.testing._services import _children, _ports
from rax.testing._services._account import Account
from rax.testing._services._template import NO_ROOM, Template

STANDARD_PORT: Final = 5432
_MAX_START_SECONDS = 60.0
_POLL_SECONDS = 0.005
# Outside of a namespace, another process may take the port that was free a moment ago.
_MAX_STARTS = 5
_TAKEN = "could not bind"
# Of a socket's path, as systems have it.
_MAX_SOCKET_BYTES = 103
_READY = "ready"
_MIB = 2**20
# The line of postmaster.pid that has the state of the server.
_STATE_LINE = 7
_SETTINGS = {
    # What it holds needs to survive nothing.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "16MB",
    # In files of the cluster, since what is in /dev/shm would outlive a server that is killed.
    "dynamic_shared_memory_type": "mmap",
    # Nothing happens by itself, so that a case gives the same each time.
    "autovacuum": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, MDY",
    "lc_messages": "C",
    "password_encryption": "scram-sha-256",
    "listen_addresses": _ports.ADDRESS,
    "unix_socket_permissions": "0700",
    # A statement that fails may hold a password.
    "log_min_error_statement": "panic",
}


class Server:
    """One server, which is made anew at each start, at the same port.

    :param folder: for its files, in a folder of the case; nothing has its name yet
    :param log: for what it tells, elsewhere: it tells also that there is no room left in its folder
    :param account: whom it runs as, None for this account
    :param in_memory: whether its folder is in memory, with no more room than a case may have
    :param stays: whether it outlives the case
    """

    def __init__(
        self,
        binaries: Path,
        template: Template,
        folder: Path,
        log: Path,
        account: Account | None,
        *,
        in_memory: bool = False,
        stays: bool = False,
    ) -> None:
        self.folder = folder
        self._log = log
        self._binaries = binaries
        self._template = template
        self._account = account
        self._in_memory = in_memory
        self._last_signal = None if stays else signal.SIGQUIT
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it empty, and wait until it answers.

        :raises ServiceError: it does not start
        """
        length = len(bytes(self.folder / f".s.PGSQL.{2**16 - 1}"))
        if length > _MAX_SOCKET_BYTES:
            raise ServiceError(
                f"{self.folder} has a path too long for a socket of PostgreSQL: set TMPDIR to a"
                " folder with a shorter one, such as /tmp"
            )
        if self._account is None:
            self.folder.mkdir(0o700)
        else:
            self._account.make_folder(self.folder)
        self._template.copy(self.folder / "data")
        is_given = self.port != 0
        for _attempt in range(1 if is_given else _MAX_STARTS):
            if not is_given:
                self.port = _free_port()
            if (problem := self._begin()) is None:
                return
            if _TAKEN not in problem:
                break
        raise ServiceError(f"PostgreSQL does not start: {problem}")

    def stop(self) -> None:
        """End it at once, and remove its files."""
        if self._process is not None:
            _children.stop(self._process, signal.SIGQUIT)
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def full(self) -> str:
        """Say what to do where it has had no room for something since its start."""
        with self._log.open("rb") as lines:
            if not any(NO_ROOM.encode() in line for line in lines):
                return ""
        if not self._in_memory:
            return f"PostgreSQL had no room left on the disk of {self.folder.parent}"
        room = os.statvfs(self.folder.parent)
        return (
            f"PostgreSQL had no room left in its {room.f_blocks * room.f_frsize / _MIB:.0f} MiB of"
            " memory; the databases of a case may have what rax.toml says: [flows] max_memory_mib"
        )

    def _begin(self) -> str | None:
        """Start it at its port; return None, or why it has ended."""
        settings = {
            **_SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": f'"{self.folder}"',
        }
        with self._log.open("wb") as output:
            self._process = process = _children.start(
                [
                    self._binaries / "postgres",
                    *("-D", self.folder / "data"),
                    *(
                        word
                        for name, value in settings.items()
                        for word in ("-c", f"{name}={value}")
                    ),
                ],
                environment=_children.plain_environment(),
                folder=Path("/"),
                output=output,
                account=self._account,
                last_signal=self._last_signal,
            )
        deadline = time.monotonic() + _MAX_START_SECONDS
        while not self._is_ready():
            if process.poll() is not None:
                self._process = None
                return _reason(self._log)
            if time.monotonic() > deadline:
                self.stop()
                raise ServiceError(f"PostgreSQL does not answer after {_MAX_START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        return None

    def _is_ready(self) -> bool:
        try:
            lines = (self.folder / "data/postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATE_LINE and lines[_STATE_LINE].strip() == _READY


def _free_port() -> int:
    with _ports.bound(STANDARD_PORT) as listener:
        return _ports.port_of(listener)


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if "FATAL:" in line or "LOG:  could not" in line]
    return one_line(" ".join((told or lines)[-3:]))
