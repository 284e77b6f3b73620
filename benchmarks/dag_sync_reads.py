# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads of a release while the next one is published."""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.dag_sync_repository import READ, marked_file

UNPINNED_EVERY = 4


def read_marks(folder: str) -> set[str]:
    """Return the marks of all files of a read: one, unless the read is torn."""
    marks = set()
    for number in range(READ):
        path, _ = marked_file(number, 0)
        try:
            with open(f"{folder}/{path}", "rb", buffering=0) as file:  # noqa: PTH123 - millions of times
                marks.add(file.read().decode())
        except FileNotFoundError:
            marks.add("missing")
    return marks


@contextlib.contextmanager
def pinned(link: str) -> Iterator[str]:
    """Resolve the link once, and hold the release, as the program's head says."""
    while True:
        path = os.path.realpath(link)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            try:
                same = os.path.samestat(os.fstat(descriptor), Path(path).stat())
            except FileNotFoundError:
                same = False
            if same:
                yield path
                return
        finally:
            os.close(descriptor)


def read(link: str, count: int) -> dict[str, int]:
    """Read through the pinned link, in between through the link itself; count what is torn."""
    counts = {"pinned": 0, "pinned_torn": 0, "unpinned": 0, "unpinned_torn": 0}
    seen = set()
    for number in range(count):
        with pinned(link) as path:
            marks = read_marks(path)
        seen |= marks
        counts["pinned"] += 1
        counts["pinned_torn"] += marks == {"missing"} or len(marks) != 1
        if number % UNPINNED_EVERY == 0:
            marks = read_marks(link)
            counts["unpinned"] += 1
            counts["unpinned_torn"] += marks == {"missing"} or len(marks) != 1
    return counts | {"releases": len(seen)}


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1], int(sys.argv[2]))))
