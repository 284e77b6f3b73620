# SPDX-License-Identifier: Apache-2.0
"""What a worker's guard looks at, and how it ends tasks."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psutil

# How long the API server may take to answer, in seconds: as long as to a task's heartbeat.
API_SECONDS = 5

# A file system of logs is nearly full when less of it is free than this, or than this share of it
# if that is less. A worker that takes no tasks for it takes them again when twice as much is free.
MIN_FREE_BYTES = 256 * 2**20
MIN_FREE_INODES = 1000
MIN_FREE_SHARE = 0.05
# What a look writes: more than one block, so that a full disk shows.
PROBE = b"\n" * 8192


class ApiServer:
    """The API server, asked in the way of this node's tasks."""

    def __init__(self, execution_url: str) -> None:
        """Take the URL of the execution API, as Airflow's settings have it."""
        # With the same certificates, proxies and time-outs, so that both get the same answer.
        from airflow.sdk.api.client import Client

        self.url = urljoin(execution_url.rstrip("/") + "/", "../api/v2/monitor/health")
        self._client: Any = Client(base_url=execution_url, token="", timeout=API_SECONDS)
        # They raise for answers that are none of a task's.
        self._client.event_hooks = {}

    def problem(self) -> str | None:
        """Return why a heartbeat would not get through now, or None.

        As for a task, any answer below 500 is one of a server that works; what it says is of
        interest only where it is the page of health, which says so when the database is away.
        """
        import httpx

        try:
            # Not the client's own method, which tries for as long as an outage may last.
            answer = httpx.Client.request(self._client, "GET", self.url)
        except httpx.RequestError as error:
            return f"the API server does not answer ({type(error).__name__})"
        if answer.status_code >= 500:
            return f"the API server answers with status {answer.status_code}"
        try:
            database = answer.json()["metadatabase"]["status"]
        except (ValueError, TypeError, KeyError):
            return None
        return "the API server's database does not answer" if database == "unhealthy" else None


class LogDirectory:
    """The directory of the tasks' logs."""

    def __init__(self, path: str) -> None:
        """Take its path."""
        self.path = path
        self._was_full = False

    def problem(self) -> str | None:
        """Return why a task could not log now, or None."""
        probe = Path(self.path, f".worker-guard-{os.getpid()}")
        try:
            with probe.open("wb") as file:
                file.write(PROBE)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return f"its log directory {self.path} cannot be written ({error.strerror})"
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
        found = os.statvfs(self.path)
        self._was_full = is_nearly_full(found, 2 if self._was_full else 1)
        return f"its log directory {self.path} is nearly full" if self._was_full else None


def is_nearly_full(found: os.statvfs_result, times: int = 1) -> bool:
    """Return whether less is free, for accounts but root, than so many times the limits."""
    least_bytes = min(MIN_FREE_BYTES, MIN_FREE_SHARE * found.f_blocks * found.f_frsize)
    # File systems such as btrfs count no inodes.
    least_inodes = min(MIN_FREE_INODES, MIN_FREE_SHARE * found.f_files)
    return (
        found.f_bavail * found.f_frsize < times * least_bytes
        or found.f_favail < times * least_inodes
    )


def end_descendants(processes: Iterable[int]) -> int:
    """Kill all that these processes have started, and return how many there were.

    Each is stopped before the first is killed: a shell would otherwise begin its next command.
    """
    stopped: dict[int, psutil.Process] = {}
    roots = list(processes)
    while found := [
        child for root in roots for child in _descendants(root) if child.pid not in stopped
    ]:
        for child in found:
            stopped[child.pid] = child
            with contextlib.suppress(psutil.Error):
                child.suspend()
    for child in stopped.values():
        with contextlib.suppress(psutil.Error):
            child.kill()
    return len(stopped)


def _descendants(process: int) -> list[psutil.Process]:
    """Return what a process has started and is still there, zombies left out."""
    try:
        found = psutil.Process(process).children(recursive=True)
    except psutil.Error:
        return []
    return [child for child in found if _is_alive(child)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
