# SPDX-License-Identifier: Apache-2.0
"""What identifies a file and its content, for caches that have to know when it changes."""

import os
from typing import Any

Identity = tuple[Any, ...]

# The clock of file systems ticks every 1 to 10 ms: a further change of a file that was changed this
# recently might not show.
_SETTLED_NS = 100_000_000


def identity(status: os.stat_result) -> Identity:
    """Return what differs once the file, its content or who may read it has changed.

    A change of content, mode or owner sets the time of the last change (ctime), which no account
    can set back; the mode and the owners are part of it all the same.
    """
    # The first seven are mode, inode, device, links, owner, group and size.
    return (status[:7], status.st_mtime_ns, status.st_ctime_ns)


def is_settled(status: os.stat_result, now: int) -> bool:
    """Say whether a change after this one would show; ``now`` is in nanoseconds."""
    return status.st_ctime_ns < now - _SETTLED_NS
