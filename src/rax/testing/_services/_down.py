# SPDX-License-Identifier: Apache-2.0
"""What a case has been told of, and what does not answer it."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rax.testing._model import Given
from rax.testing._services import _credentials, _ports
from rax.testing._services._plan import Database
from rax.testing._services._server import STANDARD_PORT


class Down:
    """Ports that refuse each connection, and files that are not there.

    :param databases: those of PostgreSQL, also those that are up
    :param folder: of the case
    """

    def __init__(self, given: Given, databases: Mapping[str, Database], folder: Path) -> None:
        self._given = given
        self._databases = databases
        self._folder = folder
        self._sockets: dict[str, socket.socket] = {}

    def start(self) -> None:
        """Take the ports, so that nobody else answers there."""
        for name in sorted(self._given.down - self._sockets.keys()):
            standard = STANDARD_PORT if name in self._databases else 0
            self._sockets[name] = _ports.bound(standard)

    def stop(self) -> None:
        """Leave all as it is: it changes nothing that could be brought back."""

    def close(self) -> None:
        """Give the ports back."""
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()

    def credentials(self) -> dict[str, dict[str, Any]]:
        """Return the fields of each credential, as if its service were up."""
        return {name: self._fields(name) for name in self._sockets}

    def _fields(self, name: str) -> dict[str, Any]:
        port = _ports.port_of(self._sockets[name])
        if database := self._databases.get(name):
            return _credentials.postgres_fields(*database[:3], port)
        if name in self._given.sqlite:
            # SQLite would make a file that is missing in a folder that is there.
            return _credentials.sqlite_fields(self._folder / "down" / f"{name}.db")
        if source := self._given.http.get(name):
            return _credentials.http_fields(port, tls=source.tls)
        return _credentials.port_fields(port)
