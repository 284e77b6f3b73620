# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of a case: a program of its own, that no task of the case can hold up or change.

It needs no more than Python. Its first line of input is JSON: the sources, each with the descriptor
of a socket that is bound, and the file of its certificate, where it has one. It ends when its input
does.
"""

import base64
import functools
import http.server
import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_MAX_BODY_BYTES = 64 * 2**20
_MAX_SHOWN_ANSWERS = 20

# A request as it is compared: the order of what a query asks for makes no difference.
_Request = tuple[str, str, tuple[tuple[str, str], ...]]


def request_of(method: str, target: str) -> _Request:
    """Return a request in the form in which equal ones are equal.

    >>> request_of("GET", "/a%20b?y=2&x=1") == request_of("GET", "/a b?x=1&y=2")
    True
    """
    url = urlsplit(target)
    query = sorted(parse_qsl(url.query, keep_blank_values=True))
    return method.upper(), unquote(url.path), tuple(query)


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Set for each source.
    name = ""
    answers: list[dict[str, Any]] = []  # noqa: RUF012 - replaced, and never changed
    left: dict[_Request, list[dict[str, Any]]] = {}  # noqa: RUF012 - replaced in each class
    lock = threading.Lock()
    folder: Path | None = None

    def answer(self) -> None:
        """Answer by what is given for this request, by a file, or by 404."""
        if not self._skip_body():
            return
        found = self._next(request_of(self.command, self.path))
        if found is None and self.command == "HEAD":
            found = self._next(request_of("GET", self.path))
        if found is not None:
            self._send(found["status"], found["headers"], base64.b64decode(found["body"]))
        elif self.folder is not None and self.command in ("GET", "HEAD"):
            (super().do_HEAD if self.command == "HEAD" else super().do_GET)()
        else:
            self._refuse()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - the names are those of http.server

    def translate_path(self, path: str) -> str:
        """Return the file of a path; one that is outside of the folder is not there."""
        found = super().translate_path(path)
        inside = Path(found).resolve().is_relative_to(Path(self.directory).resolve())
        return found if inside else os.devnull + "/outside"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what there is, where a file is not there."""
        if code == 404:
            self._refuse()
        else:
            super().send_error(code, message, explain)

    def list_directory(self, path: Any) -> None:  # noqa: ARG002 - the interface is that of http.server
        """Say that a folder is nothing to read."""
        self._refuse()

    def _skip_body(self) -> bool:
        """Read what the request brings, so that another one can follow; False where it is none."""
        length = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers:
            # It would end the connection, with the answer lost, if it were left unread.
            return self._skip_chunks()
        if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
            self.close_connection = True
            self.send_error(413)
            return False
        self.rfile.read(int(length))
        return True

    def _skip_chunks(self) -> bool:
        while True:
            try:
                size = int(self.rfile.readline(100).partition(b";")[0], 16)
            except ValueError:
                self.close_connection = True
                self.send_error(400)
                return False
            if not 0 <= size <= _MAX_BODY_BYTES:
                self.close_connection = True
                self.send_error(413)
                return False
            self.rfile.read(size)
            self.rfile.readline(100)
            if size == 0:
                return True

    def _next(self, request: _Request) -> dict[str, Any] | None:
        """Return the next of the answers to a request; the last one stays."""
        with self.lock:
            answers = self.left.get(request)
            if not answers:
                return None
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def _refuse(self) -> None:
        if self.folder is not None:
            reason = f"{self.name} has no file {self.path}"
        else:
            names = (f"{answer['method']} {answer['path']}" for answer in self.answers)
            given = [*dict.fromkeys(names)]
            more = ", …" if len(given) > _MAX_SHOWN_ANSWERS else ""
            reason = f"{self.name} has no answer to {self.command} {self.path}, but to "
            reason += ", ".join(given[:_MAX_SHOWN_ANSWERS]) + more
        self._send(404, {"Content-Type": "text/plain; charset=utf-8"}, f"{reason}\n".encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        bare = status < 200 or status in (204, 304)
        if not bare and "content-length" not in {key.lower() for key in headers}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not bare and self.command != "HEAD":
            self.wfile.write(body)


def _serve(source: dict[str, Any]) -> None:
    listener = socket.socket(fileno=source["descriptor"])
    left: dict[_Request, list[dict[str, Any]]] = {}
    for answer in source["answers"]:
        left.setdefault(request_of(answer["method"], answer["path"]), []).append(answer)
    folder = None if source["folder"] is None else Path(source["folder"])
    handler = type(
        "Handler",
        (_Handler,),
        {"name": source["name"], "answers": source["answers"], "left": left, "folder": folder},
    )
    make: Callable[..., http.server.BaseHTTPRequestHandler] = functools.partial(
        handler, directory=None if folder is None else str(folder)
    )
    server = http.server.ThreadingHTTPServer(listener.getsockname(), make, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    if source["certificate"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(source["certificate"])
        # By the thread of each connection: a client that is silent holds up nobody else.
        server.socket = context.wrap_socket(
            listener, server_side=True, do_handshake_on_connect=False
        )
    server.server_name, server.server_port = server.socket.getsockname()
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Serve until the input ends."""
    for source in json.loads(sys.stdin.readline()):
        _serve(source)
    sys.stdin.read()


if __name__ == "__main__":
    main()
