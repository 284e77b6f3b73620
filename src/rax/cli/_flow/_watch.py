# SPDX-License-Identifier: Apache-2.0
"""``rax flow --watch``: a verdict after each edit."""

import os
from collections.abc import Iterator
from pathlib import Path

from rax import _laptop

# What changes beside the workflows: what CI and tools leave behind, and what only one laptop has.
_LEFT_OUT = ("reports", ".cache", _laptop.LOCAL)
# An editor writes a file in several steps; those of this time are one edit.
_MAX_EDIT_MILLISECONDS = 200


def edits(root: Path) -> Iterator[str]:
    """Yield what has been edited in a repository, in words, each time that something was.

    It ends by KeyboardInterrupt.
    """
    # Airflow brings it.
    from watchfiles import DefaultFilter, watch

    wanted = DefaultFilter(ignore_paths=[root / name for name in _LEFT_OUT])
    options = {"debounce": _MAX_EDIT_MILLISECONDS, "raise_interrupt": True}
    for changes in watch(root, watch_filter=wanted, **options):
        names = sorted({os.path.relpath(path, root) for _change, path in changes})
        yield names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
