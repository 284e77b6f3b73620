# SPDX-License-Identifier: Apache-2.0
"""An empty cluster of PostgreSQL, made once, of which each case gets a copy."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rax._printable import one_line
from rax.errors import ServiceError
from rax.testing._services._account import Account
from rax.testing._services._children import as_account, plain_environment

# No credential may be called so: PostgreSQL would not let its role be made.
ADMIN: Final = "rax_flow"
# The database that each other one is made of, and that nobody else connects to.
ADMIN_DATABASE: Final = "template1"
# macOS has no such locale; both sort by the numbers of the characters.
_LOCALE = "C" if sys.platform == "darwin" else "C.UTF-8"
_MAX_SECONDS = 60.0
_MAX_REASON_CHARACTERS = 300
# As PostgreSQL and cp say it, in English.
NO_ROOM: Final = "No space left on device"


class Template:
    """The empty cluster in a folder that cases share; who needs it first makes it.

    :param shared: a folder of this account
    :param account: whose the cluster is, None for this account
    """

    def __init__(self, binaries: Path, shared: Path, account: Account | None) -> None:
        self._binaries = binaries
        self._shared = shared
        self._account = account
        self._path = shared / "postgresql"

    def copy(self, target: Path) -> None:
        """Make a copy, in a folder of the account.

        :raises ServiceError: PostgreSQL could make none
        """
        self._ensure()
        # Several times as fast as the hundreds of files would be from here.
        self._run("cp", "-R", self._path / "data", target)

    def _ensure(self) -> None:
        lock = os.open(
            self._shared / "postgresql.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._path / "data").exists():
                self._make()
        finally:
            os.close(lock)

    def _make(self) -> None:
        # Of one that was killed.
        shutil.rmtree(self._path, ignore_errors=True)
        if self._account is None:
            self._path.mkdir(0o700)
        else:
            self._account.make_folder(self._path)
        new = self._path / "new"
        self._run(
            self._binaries / "initdb", "--pgdata", new, "--username", ADMIN, "--no-sync",
            "--encoding", "UTF8", "--locale", _LOCALE,
            # Only who may enter the folder of a server reaches its socket.
            "--auth-local", "trust", "--auth-host", "scram-sha-256",
            # The least that there is, in megabytes: it is copied for each case.
            "--wal-segsize", "1",
        )  # fmt: skip
        # Nobody asks for these, and they would be half of each copy.
        self._run(
            self._binaries / "postgres", "--single", "-F", "-D", new, ADMIN_DATABASE,
            text="UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'\n"
            "DROP DATABASE template0\nDROP DATABASE postgres\n",
        )  # fmt: skip
        new.rename(self._path / "data")

    def _run(self, *command: str | Path, text: str = "") -> None:
        words: Sequence[str] = [*map(str, command)]
        try:
            done = subprocess.run(  # noqa: S603 - programs of PostgreSQL, and cp
                words,
                input=text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=plain_environment(),
                timeout=_MAX_SECONDS,
                check=False,
                **as_account(self._account),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceError(f"{Path(words[0]).name}: {one_line(str(error))}") from None
        if done.returncode:
            reason = one_line(done.stdout.decode(errors="replace"))
            if NO_ROOM in reason:
                raise ServiceError(
                    f"{Path(words[0]).name} found no room left below {self._shared.parent}: set"
                    " TMPDIR to a folder with more"
                )
            reason = reason[-_MAX_REASON_CHARACTERS:]
            raise ServiceError(f"{Path(words[0]).name} failed: {reason}")
