# SPDX-License-Identifier: Apache-2.0
"""Reports in files: whoever reads one has all of it, or the one before."""

import os
from pathlib import Path

from rax.errors import CommandError


def write_report(path: Path, content: bytes) -> None:
    """Put a report in its place; its folder is made where it is not there.

    :raises CommandError: it cannot be written; what was there stays
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("xb") as file:
            try:
                file.write(content)
                file.flush()
                new.replace(path)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def remove_report(path: Path) -> None:
    """Take a report away, if it is there.

    :raises CommandError: it cannot be taken away
    """
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        # Who writes one there will say so.
        return
    except OSError as error:
        raise CommandError(f"{path} cannot be removed: {error.strerror}") from None
