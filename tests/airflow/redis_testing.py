"""A real Redis for tests, which may be away for a while."""

import socket
import subprocess
import time
from pathlib import Path

import redis

MAX_START_SECONDS = 10


class Server:
    """A redis-server of a folder and a port of its own, as role broker has it keep its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def start(self, *options: str) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder,
             "--appendonly", "yes", "--appendfsync", "everysec", *options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + MAX_START_SECONDS
        while True:
            try:
                self.client.ping()
            # It wants a password.
            except redis.AuthenticationError:
                return
            # It does not answer yet, or loads its data.
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    self.kill()
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
