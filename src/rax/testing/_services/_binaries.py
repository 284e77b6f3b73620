# SPDX-License-Identifier: Apache-2.0
"""Where the programs of PostgreSQL are: Debian and others keep those of a server out of PATH."""

import glob
import os
import re
import shutil
from pathlib import Path

from rax.errors import ServiceError

_PROGRAMS = ("initdb", "postgres", "psql")
_PLACES = (
    # Debian, and Red Hat with PostgreSQL's own packages.
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    # Homebrew, on processors of Apple and of Intel.
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs: that of PATH, or else of the newest version.

    :raises ServiceError: there is none
    """
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    for pattern in _PLACES:
        folders += sorted(map(Path, glob.glob(pattern)), key=_version, reverse=True)  # noqa: PTH207 - an absolute pattern
    for folder in folders:
        if all(os.access(folder / program, os.X_OK) for program in _PROGRAMS):
            return folder
    raise ServiceError(
        "a case is given a database of PostgreSQL, which is not on this machine: install the"
        " package postgresql (apt-get install postgresql, brew install postgresql)"
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", str(folder))))
