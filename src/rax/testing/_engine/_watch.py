# SPDX-License-Identifier: Apache-2.0
"""A watch over the processes of a case: what they use together, and whether they are mute."""

import time
from typing import Any

# A workflow with a few rows has some ten; a pool has as many as the machine has processors.
MAX_PROCESSES = 512
_MIN_PAUSE_SECONDS = 0.25
# A look costs more the more processes a machine has: it takes no more than this part of the time.
_MAX_PART = 0.05
# Between the last word of a process and the news that it has ended.
_MAX_SILENT_SECONDS = 10.0
_MIB = 2**20


class Watch:
    """Looks at all processes below this one, now and then.

    :param max_memory_mib: what they may have together; what several share counts once
    """

    def __init__(self, max_memory_mib: float) -> None:
        self._max_memory_mib = max_memory_mib
        self._next = time.monotonic() + _MIN_PAUSE_SECONDS
        self._silent_until = float("inf")

    def pause(self) -> float:
        """Return how many seconds are left to the next look."""
        return max(0.0, self._next - time.monotonic())

    def silent(self) -> None:
        """Take that the case's own process cannot tell anything any more: it is about to end."""
        self._silent_until = time.monotonic() + _MAX_SILENT_SECONDS

    def reason(self) -> str:
        """Say why the case has to end, if it is time to look and there is a reason."""
        began = time.monotonic()
        if began < self._next:
            return ""
        reason = self._reason(began)
        ended = time.monotonic()
        self._next = ended + max(_MIN_PAUSE_SECONDS, (ended - began) / _MAX_PART)
        return reason

    def _reason(self, now: float) -> str:
        if now > self._silent_until:
            return "closed files that it had not opened, and Airflow cannot go on without them"
        # Airflow brings it.
        import psutil

        found = psutil.Process().children(recursive=True)
        if len(found) > MAX_PROCESSES:
            return f"had more than {MAX_PROCESSES} processes at once"
        limit = self._max_memory_mib
        # The first sum counts what is shared for each process, and is the cheaper one by far.
        if sum(map(_resident, found)) > limit * _MIB and sum(map(_share, found)) > limit * _MIB:
            return (
                f"used more than {limit:g} MiB of memory; a case may use what rax.toml says:"
                " [flows] max_memory_mib"
            )
        return ""


def _resident(process: Any) -> int:
    import psutil

    try:
        found: int = process.memory_info().rss
    except psutil.Error:
        return 0
    return found


def _share(process: Any) -> int:
    """Return what a process has for itself, and its share of what it has with others."""
    import psutil

    try:
        found = process.memory_full_info()
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.Error:
        return 0
    # Linux alone tells shares.
    share: int = getattr(found, "pss", 0) or found.uss
    return share
