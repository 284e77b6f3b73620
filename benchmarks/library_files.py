# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that the benchmarks of the library write, and folders for them."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def name_of(number: int) -> str:
    """Return the name of a credential."""
    return f"EBI-ETL-{number:04}"


def credential(number: int, mark: str) -> dict[str, Any]:
    """Return a credential whose user, password and metadata have the same mark."""
    return {
        "user": mark,
        "pass": mark,
        "host": f"db{number}.example.org",
        "url": "",
        "description": "the nightly load",
        "metadata": {"conn_type": "postgres", "port": 5432, "database": "ebi", "mark": mark},
    }


def write_locked(path: Path, value: object) -> None:
    """Write a file that rax reads: nobody else may."""
    path.touch(0o600)
    path.write_text(json.dumps(value))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-library-") as name:
        yield Path(name)


def settle() -> None:
    """Wait until what was written is no longer so new that rax reads it anew each time."""
    time.sleep(0.2)
