"""What the fakes have in common: TLS, a log of requests, and faults.

A fake is a class with the method `answer`. In a test:

    with PasswordSafe(data) as fake:
        client = VaultClient(fake.url, ca_path=fake.ca_path)
        fake.faults = [{"match": "/projects", "kind": "status", "status": 429, "times": 1}]
        ...
        assert [request["path"] for request in fake.requests] == [...]

As a program it reads its data and faults from a directory and writes url, ca.pem and the log there:
see `serve`. Keys of a fault, all but `kind` optional:

match        regular expression, searched in the path with its query; absent: all
method       absent: all
times        so many requests, then no more; absent: always
kind         slow (`seconds`, then the answer) | hang (`seconds`, then nothing) |
             status (`status`, `retry_after`, `location`) | truncated (half of the JSON) |
             cut (the connection ends in the middle of the body) | reset (before the reply) |
             content_type (an HTML page) | value (`value` as JSON, `status`) |
             trickle (one byte each `seconds`) |
             anything else is left to the fake: endless_pages, repeated_pages, ...
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import ssl
import struct
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme

NAMES = ("localhost", "127.0.0.1")
# Longer than any client waits.
FOREVER = 3600


class Answer:
    """A reply: JSON, unless `text` is given."""

    def __init__(
        self,
        value: Any = None,
        status: int = 200,
        *,
        content_type: str = "application/json; charset=utf-8",
        headers: dict[str, str] | None = None,
        text: str | None = None,
    ) -> None:
        self.status = status
        self.headers = {"Content-Type": content_type, **(headers or {})}
        self.body = (json.dumps(value) if text is None else text).encode()
        if status == 204:
            self.body = b""


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Raised by a fake that refuses a request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Request:
    """A request, and the kind of the fault that the fake itself has to play."""

    def __init__(self, method: str, target: str, headers: Any, body: bytes) -> None:
        parts = urlsplit(target)
        self.method = method
        self.target = target
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.headers = headers
        self.body = body
        self.fault: str | None = None

    def json(self) -> Any:
        """Return the body's value; other content types are refused."""
        if self.headers.get_content_type() != "application/json":
            raise Refusal(415, "the content type is not application/json")
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refusal(400, "the body is not JSON") from None

    def form(self) -> dict[str, str]:
        """Return the fields of a form; other content types are refused."""
        if self.headers.get_content_type() != "application/x-www-form-urlencoded":
            raise Refusal(415, "the content type is not that of a form")
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


class Fake:
    """A server in threads of this process. Subclasses answer requests."""

    def __init__(
        self,
        data: Any = None,
        *,
        names: tuple[str, ...] = NAMES,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        directory: Path | None = None,
    ) -> None:
        self.data = data
        self.directory = directory
        self._name = names[0]
        self.faults: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self._played: dict[int, int] = {}
        self._faults_text = ""
        self._data_state: Any = None
        self._temporary = tempfile.TemporaryDirectory(prefix="fake-") if not directory else None
        self.ca_path = Path(directory or self._temporary.name) / "ca.pem"
        authority = _authority(self.ca_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        self._server = _Server(listen, self, context)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def answer(self, request: Request) -> Answer:
        """Return the reply, or raise Refusal."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Return the port."""
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Return the URL; a server at all addresses is called by the certificate's first name."""
        host = self._server.server_address[0]
        known = {"127.0.0.1": "localhost", "0.0.0.0": self._name, "::": self._name}  # noqa: S104 - only compared
        return f"https://{known.get(host, host)}:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the server, and every fault that is still playing."""
        self.stopped.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        if self._temporary:
            self._temporary.cleanup()

    def forget(self) -> None:
        """Clear the log and the faults."""
        with self.lock:
            self.faults, self._played = [], {}
            self.requests.clear()
            self.connections = 0

    # What the handler asks.

    def fault_for(self, request: Request) -> dict[str, Any] | None:
        """Return the first fault that matches and is not used up."""
        with self.lock:
            self._read_faults()
            for fault in self.faults:
                if not re.search(fault.get("match", ""), request.target):
                    continue
                if fault.get("method", request.method) != request.method:
                    continue
                played = self._played.get(id(fault), 0)
                if "times" in fault and played >= fault["times"]:
                    continue
                self._played[id(fault)] = played + 1
                return fault
        return None

    def _read_faults(self) -> None:
        if not self.directory:
            return
        file = self.directory / "faults.json"
        text = file.read_text() if file.exists() else ""
        if text != self._faults_text:
            try:
                faults = json.loads(text or "[]")
            except ValueError:
                return  # It is being written.
            self._faults_text, self.faults, self._played = text, faults, {}

    def read_data(self) -> None:
        """Take the data of the directory, if they have changed."""
        if not self.directory:
            return
        file = self.directory / "vault.json"
        with self.lock:
            try:
                status = file.stat()
                state = (status.st_ino, status.st_size, status.st_mtime_ns)
                if state != self._data_state:
                    self.data = json.loads(file.read_text())
                    self._data_state = state
                    self.data_changed()
            except (FileNotFoundError, ValueError):
                return  # It is not there yet, or being written.

    def data_changed(self) -> None:
        """Let a fake prepare what it derives from the data."""

    def log(self, connection: int, request: Request, status: int | None) -> None:
        """Note a request; status None: it got no answer."""
        entry = {
            "method": request.method,
            "path": request.target,
            "status": status,
            "connection": connection,
        }
        with self.lock:
            self.requests.append(entry)
            if self.directory:
                with (self.directory / "requests.jsonl").open("a") as file:
                    file.write(json.dumps(entry) + "\n")


def _authority(certificate: Path) -> trustme.CA:
    """Return the authority of a directory, which clients go on trusting after a restart."""
    key = certificate.with_suffix(".key")
    if key.exists() and certificate.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA()
    key.touch(mode=0o600)
    authority.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(certificate)
    return authority


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], fake: Fake, context: ssl.SSLContext) -> None:
        self.fake = fake
        self.context = context
        # At :: it answers those of IPv4 too.
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service.
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]

    def get_request(self):
        connection, address = super().get_request()
        # The handshake happens at the first read, in the connection's own thread.
        wrapped = self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def shutdown_request(self, request) -> None:
        # A connection that lingers for no time is reset by close, unless it is shut down before.
        if request.fileno() >= 0 and _lingers_not(request):
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        # Clients that distrust the certificate, or go away, are what tests do.
        error = sys.exception() if sys.version_info >= (3, 11) else sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)


def _lingers_not(connection: socket.socket) -> bool:
    value = connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    return struct.unpack("ii", value) == (1, 0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # A client that says nothing more is let go.
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self.fake: Fake = self.server.fake
        with self.fake.lock:
            self.fake.connections += 1
            self.number = self.fake.connections

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, self.headers, self.rfile.read(length))
        self.fake.read_data()
        fault = self.fake.fault_for(request)
        if fault and self._plays(fault, request):
            return
        self._send(request, self._answer(request))

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 - the base's names

    def log_message(self, *_) -> None:
        """Keep standard error clean."""

    def _answer(self, request: Request) -> Answer:
        try:
            return self.fake.answer(request)
        except Refusal as refusal:
            return Answer({"error": str(refusal)}, refusal.status)

    def _plays(self, fault: dict[str, Any], request: Request) -> bool:
        """Play a fault; return whether the request is dealt with."""
        kind = fault["kind"]
        if kind == "slow":
            self.fake.stopped.wait(fault.get("seconds", 1))
            return False
        if kind == "hang":
            self.fake.log(self.number, request, None)
            self.fake.stopped.wait(fault.get("seconds", FOREVER))
            self.close_connection = True
        elif kind == "status":
            headers = {}
            if "retry_after" in fault:
                headers["Retry-After"] = str(fault["retry_after"])
            if "location" in fault:
                headers["Location"] = fault["location"]
            # The worst that a server can do: quote everything that it got.
            quoted = {"error": str(request.headers), "body": request.body.decode(errors="replace")}
            self._send(request, Answer(quoted, fault["status"], headers=headers))
        elif kind == "content_type":
            page = "<!DOCTYPE html><title>Log in</title><p>Please log in."
            self._send(request, Answer(content_type="text/html", text=page))
        elif kind == "value":
            self._send(request, Answer(fault["value"], fault.get("status", 200)))
        elif kind == "truncated":
            answer = self._answer(request)
            answer.body = answer.body[: len(answer.body) // 2]
            self._send(request, answer)
        elif kind == "cut":
            answer = self._answer(request)
            self.close_connection = True
            self._send(request, answer, cut=len(answer.body) // 2)
        elif kind == "trickle":
            answer = self._answer(request)
            self.close_connection = True
            self._send(request, answer, cut=0)
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                if self.fake.stopped.wait(fault.get("seconds", 1)):
                    break
        elif kind == "reset":
            self.fake.log(self.number, request, None)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            request.fault = kind
            return False
        return True

    def _send(self, request: Request, answer: Answer, cut: int | None = None) -> None:
        self.fake.log(self.number, request, answer.status)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        # One write for the head and the body.
        self._headers_buffer += [b"\r\n", b"" if self.command == "HEAD" else answer.body[:cut]]
        self.flush_headers()


def serve(kind: type[Fake], arguments: list[str] | None = None) -> None:
    """Run a fake as a program, until it is killed."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--name", action="append", help="a name in the certificate")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    # Whoever waits for the file waits for this run's.
    (given.directory / "url").unlink(missing_ok=True)
    fake = kind(
        names=tuple(given.name or NAMES),
        listen=(host.strip("[]"), int(port)),
        directory=given.directory,
    )
    fake.start()
    written = given.directory / f"url.{os.getpid()}"
    written.write_text(fake.url + "\n")
    written.rename(given.directory / "url")
    print(fake.url, flush=True)  # noqa: T201 - a program
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        fake.stop()
