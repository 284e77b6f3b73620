# SPDX-License-Identifier: Apache-2.0
"""Reading files of a repository, which may be anything."""

import os
import stat
from pathlib import Path

# Python, configs and settings that people write are far smaller.
MAX_FILE_BYTES = 5_000_000


class UnreadableError(Exception):
    """A file is none, or too large, or cannot be read: its text says why, and not which."""


def read_file(root: Path, file: str) -> bytes:
    """Return what is in a file below a folder, which has to be free of links itself.

    :raises FileNotFoundError: there is nothing of that name
    :raises UnreadableError: it is no regular file, is outside of the folder, is larger than
        MAX_FILE_BYTES, or cannot be read
    """
    try:
        path = (root / file).resolve(strict=True)
        if not path.is_relative_to(root):
            raise UnreadableError("is outside of this repository")
        # Without O_NONBLOCK, opening a FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableError("is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None
    except RuntimeError:
        # Python 3.11 and 3.12 raise it for links in a circle.
        raise UnreadableError("is a link to itself") from None
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableError(f"is larger than {MAX_FILE_BYTES:,} bytes")
    return content
