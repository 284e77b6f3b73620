# SPDX-License-Identifier: Apache-2.0
"""Small files in which other parts of the node write down how they are."""

import json
import os
import stat
from pathlib import Path
from typing import Any

_MAX_BYTES = 65536


def read_text(path: Path, max_bytes: int = _MAX_BYTES) -> str | None:
    """Return what is in a file; None where there is none.

    Others may have put something else in its place, which is neither followed nor waited for.

    :raises ValueError: it is no regular file, or too long
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} is not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{path} is longer than {max_bytes} bytes")
    return content.decode(errors="replace")


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object of JSON in a file; None where there is none.

    :raises ValueError: it holds something else
    """
    text = read_text(path)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not an object of JSON")
    return value
