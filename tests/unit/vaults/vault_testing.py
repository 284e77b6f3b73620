"""Lookups in a process of their own, a proxy, and searches for what must not be seen."""

import base64
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import traceback
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def environment():
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "collections"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_VERBOSITY": "5",
        "ANSIBLE_NOCOLOR": "1",
    }


class Lookups:
    """A process that runs one lookup after the other."""

    def __init__(self, log):
        self.log = log
        self._errors = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, HERE / "run_lookups.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(),
        )

    def __call__(self, lookup, terms, options, variables=None, env=None):
        """Return {"result" or "error", "pauses", "said"}; `said` is all that was logged."""
        begin = self.log.stat().st_size
        call = {
            "lookup": lookup,
            "terms": terms,
            "options": options,
            "variables": variables or {},
            "env": env or {},
        }
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        said = self.log.read_text()[begin:]
        assert line, f"the process ended: {said}"
        answer = json.loads(line)
        assert "traceback" not in answer, answer["traceback"]
        return {**answer, "said": said}

    def stop(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()


class Proxy:
    """A proxy for CONNECT, which notes what it is asked; `refuse` is a status that it answers."""

    def __init__(self, login=None):
        self.asked = []
        self.refuse = None
        self.login = login and "Basic " + base64.b64encode(login.encode()).decode()
        self._server = _ProxyServer(("127.0.0.1", 0), _ProxyHandler)
        self._server.proxy = self
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


class _ProxyHandler(socketserver.StreamRequestHandler):
    def handle(self):
        proxy = self.server.proxy
        request = self.rfile.readline().decode(errors="replace").split()
        if request[:1] != ["CONNECT"]:
            self.wfile.write(b"HTTP/1.1 400 No\r\n\r\n")
            return
        headers = {}
        while line := self.rfile.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        proxy.asked.append(" ".join(request[:2]))
        status = proxy.refuse
        if proxy.login and headers.get("proxy-authorization") != proxy.login:
            status = 407
        if status:
            self.wfile.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, _, port = request[1].rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()


def _pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Either side may go away first.
        return


def told_by(error):
    """Return everything that an exception and those behind it could show."""
    shown = traceback.format_exception(error)
    pending, known = [error], set()
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in known:
            known.add(id(each))
            shown += [str(each), repr(each), repr(vars(each))]
            pending += [each.__cause__, each.__context__]
    return "\n".join(shown)
