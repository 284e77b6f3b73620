# SPDX-License-Identifier: Apache-2.0
"""The lock by which readers keep a release, as airflow-dag-sync has it.

It is a shared flock on the release's directory: what removes releases leaves a locked one alone.
"""

import fcntl
import os
import re
import weakref
from pathlib import Path
from typing import Self

# The name of a release.
SHA = re.compile(r"[0-9a-f]{40}")


class ReleaseLock:
    """A lock, kept as long as this object, and as the children that are forked with it."""

    def __init__(self, directory: int) -> None:
        """Take over the descriptor of a locked directory."""
        weakref.finalize(self, os.close, directory)

    @classmethod
    def take(cls, release: Path) -> Self | None:
        """Lock the release, if it is there."""
        try:
            directory = os.open(release, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        lock = cls(directory)
        fcntl.flock(directory, fcntl.LOCK_SH)
        try:
            vanished = not os.path.samestat(os.fstat(directory), release.stat())
        except FileNotFoundError:
            vanished = True
        return None if vanished else lock
