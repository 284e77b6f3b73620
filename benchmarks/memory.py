# SPDX-License-Identifier: GPL-3.0-or-later
"""The most memory that a process and its descendants had."""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path


class PeakMemory(threading.Thread):
    """Looks at a process and its descendants while they run: the most memory they had, in bytes."""

    def __init__(self, every: float = 0.1) -> None:
        super().__init__(daemon=True)
        self.every = every
        self.largest = 0
        self.together = 0
        self.ended = threading.Event()
        self.pid = 0

    def watch(self, pid: int) -> None:
        """Begin."""
        self.pid = pid
        self.start()

    def run(self) -> None:
        """Look until told to end."""
        while not self.ended.wait(self.every):
            sizes = [proportional_bytes(pid) for pid in with_descendants(self.pid, parents())]
            self.together = max(self.together, sum(sizes))

    def end(self, largest: int) -> None:
        """End, with what the system has noted of the largest process."""
        self.ended.set()
        self.join()
        self.largest = largest


def parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before may hold anything, blanks and brackets too.
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return found


def with_descendants(pid: int, parent_of: Mapping[int, int]) -> set[int]:
    """Return a process and all that it has started and that have not been given away."""
    found = {pid}
    while more := {child for child, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found


def proportional_bytes(pid: int) -> int:
    """Return the memory of a process, of shared pages its part; 0 of one that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
