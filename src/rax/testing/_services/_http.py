# SPDX-License-Identifier: Apache-2.0
"""The HTTP sources that a case is given, each at a port of its own."""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL
from typing import Any

from rax.errors import ServiceError
from rax.testing._model import HttpSource
from rax.testing._services import _children, _credentials, _ports
from rax.testing._services._certificates import Certificates, certificates

_PROGRAM = Path(__file__).with_name("_http_program.py")
# Who connects before the program serves, waits here.
_MAX_WAITING = 128
# What Python and OpenSSL read, and those that have a list of their own: requests, and curl.
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Http:
    """The sources by the names of their credentials, served by one process.

    :param folder: of the case, for the log of the requests and the certificates
    """

    def __init__(self, folder: Path, sources: Mapping[str, HttpSource]) -> None:
        self._log = folder / "http.log"
        self._sources = sources
        self._certificates: Certificates | None = None
        if any(source.tls for source in sources.values()):
            self._certificates = certificates(folder)
        self._listeners: dict[str, socket.socket] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve the sources; each begins with its first answers."""
        for name in self._sources:
            if name not in self._listeners:
                self._listeners[name] = _ports.bound()
                self._listeners[name].listen(_MAX_WAITING)
        with self._log.open("ab") as output:
            self._process = _children.start(
                [sys.executable, "-I", "-S", _PROGRAM],
                environment=_children.plain_environment(),
                folder=Path("/"),
                output=output,
                stdin=subprocess.PIPE,
                descriptors=[listener.fileno() for listener in self._listeners.values()],
            )
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(self._described()).encode() + b"\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            raise ServiceError(f"the HTTP sources do not start: see {self._log}") from None

    def stop(self) -> None:
        """Serve no longer; the ports stay taken until the case ends."""
        if self._process is not None:
            _children.stop(self._process, SIGKILL)
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def close(self) -> None:
        """Give the ports back."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def credentials(self) -> dict[str, dict[str, Any]]:
        """Return the fields of each credential."""
        return {
            name: _credentials.http_fields(_ports.port_of(listener), tls=self._sources[name].tls)
            for name, listener in self._listeners.items()
        }

    def environment(self) -> dict[str, str]:
        """Return the variables by which programs trust the sources."""
        if self._certificates is None:
            return {}
        return dict.fromkeys(_TRUST, str(self._certificates.authority))

    def _described(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "descriptor": self._listeners[name].fileno(),
                "certificate": str(self._certificates.server)
                if self._certificates and source.tls
                else None,
                "folder": None if source.folder is None else str(source.folder),
                "answers": [
                    {
                        "method": answer.method,
                        "path": answer.path,
                        "status": answer.status,
                        "headers": dict(answer.headers),
                        "body": base64.b64encode(answer.body).decode(),
                    }
                    for answer in source.answers
                ],
            }
            for name, source in self._sources.items()
        ]
