# SPDX-License-Identifier: Apache-2.0
"""The disks that stop a node when they are full, by space and by number of files."""

import os
from pathlib import Path

from rax.cli._node._part import Part, Problem
from rax.errors import CommandError

_SETTING = "RAX_STATUS_DISK_PERCENT"
# Of what is used. What root alone may use counts as used, since components are not root.
_DEFAULT_MAX_USED_PERCENT = 95.0
_GIB = 2**30


def places() -> list[Path]:
    """Return the folders that grow, as far as they are here."""
    known = [
        Path("/"),
        Path("/var/log"),
        Path("/var/log/airflow"),
        Path(os.environ.get("HOME") or "/home"),
        Path("/home/airflow"),
        Path("/opt"),
        Path("/tmp"),  # noqa: S108 - its disk is looked at, and nothing is written
        *sorted(Path("/var/lib/postgresql").glob("*/*")),
        Path("/var/lib/redis"),
        Path("/var/lib/caspian-refresh"),
    ]
    return [path for path in known if os.path.lexists(path)]


def disks() -> Part:
    """Look at the disk of each place, each disk once."""
    limit = _max_used_percent()
    found, lines, problems = [], [], []
    seen = set()
    for path in places():
        status = os.statvfs(path)
        if path.stat().st_dev in seen:
            continue
        seen.add(path.stat().st_dev)
        space = _used(status.f_blocks, status.f_bfree, status.f_bavail)
        files = _used(status.f_files, status.f_ffree, status.f_favail)
        free = status.f_bavail * status.f_frsize
        found.append({"path": str(path), "used_percent": space, "files_used_percent": files,
                      "free_bytes": free})  # fmt: skip
        lines.append(f"{path} {space:g} % used, {free / _GIB:.1f} GiB free")
        full = [
            f"{used:g} % of its {of} is used"
            for of, used in (("space", space), ("number of files", files))
            if used > limit
        ]
        if full:
            problem = f"the disk of {path} is nearly full: {' and '.join(full)}"
            problems.append(Problem(str(path), "disk", problem))
    return Part(found, lines, problems)


def _used(total: int, free: int, available: int) -> float:
    """Return how many percent are used, as df does; 0 where there is no such limit.

    >>> _used(100, 10, 5), _used(0, 0, 0)
    (94.7, 0.0)
    """
    used = total - free
    return round(100 * used / (used + available), 1) if used + available > 0 else 0.0


def _max_used_percent() -> float:
    text = os.environ.get(_SETTING) or str(_DEFAULT_MAX_USED_PERCENT)
    try:
        limit = float(text)
    except ValueError:
        limit = 0
    if not 0 < limit <= 100:
        raise CommandError(f"{_SETTING} is {text!r}: give a number from 1 to 100")
    return limit
