# SPDX-License-Identifier: Apache-2.0
"""``rax flow --watch``: a verdict after each edit."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rax import _laptop

# What changes beside the workflows: what CI and tools leave behind, and what only one laptop has.
_LEFT_OUT = ("reports", ".cache", _laptop.LOCAL)
# An editor writes a file in several steps; those of this time are one edit.
_MAX_EDIT_MILLISECONDS = 200


def edits(root: Path) -> Iterator[str]:
    """Watch a repository from now on; yield what has been edited in it, each time, in words.

    What is edited while nobody asks is told at the next time. It ends by KeyboardInterrupt.
    """
    # Airflow brings it.
    from watchfiles import DefaultFilter, watch

    wanted = DefaultFilter(ignore_paths=[root / name for name in _LEFT_OUT])
    seen = watch(
        root,
        watch_filter=wanted,
        debounce=_MAX_EDIT_MILLISECONDS,
        rust_timeout=_MAX_EDIT_MILLISECONDS,
        yield_on_timeout=True,
        raise_interrupt=True,
    )
    # It begins to watch when it is asked for the first time.
    next(seen)
    return (_told(root, changes) for changes in seen if changes)


def _told(root: Path, changes: Iterable[tuple[Any, str]]) -> str:
    names = sorted({os.path.relpath(path, root) for _change, path in changes})
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
