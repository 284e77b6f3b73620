# SPDX-License-Identifier: Apache-2.0
"""The databases of SQLite that a case is given: files, each behind a credential."""

import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rax._printable import one_line
from rax.errors import ServiceError
from rax.testing._outputs import Captured
from rax.testing._services import _credentials, _tables

_MAX_LOCK_SECONDS = 5.0
# How many steps of its machine lie between two looks at the clock.
_STEPS = 10_000


class Sqlite:
    """The databases by the names of their credentials.

    :param folder: for their files, in a folder of the case; nothing has its name yet
    :param root: the repository, below which messages name files
    """

    def __init__(self, folder: Path, databases: Mapping[str, Sequence[Path]], root: Path) -> None:
        self._folder = folder
        self._databases = databases
        self._root = root

    def path_of(self, name: str) -> Path:
        """Return the file of a database."""
        return self._folder / f"{name}.db"

    def start(self) -> None:
        """Make and fill the files.

        :raises ServiceError: a statement of a file of SQL fails: with file and line
        """
        self._folder.mkdir(0o700)
        for name, files in self._databases.items():
            with self._connection(name, "rwc") as connection:
                # They need to survive nothing.
                connection.execute("PRAGMA synchronous = OFF")
                for file in files:
                    self._fill(connection, file)

    def stop(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Hold nothing."""

    def credentials(self) -> dict[str, dict[str, Any]]:
        """Return the fields of each credential."""
        return {name: _credentials.sqlite_fields(self.path_of(name)) for name in self._databases}

    def table(self, name: str, sql: str) -> Captured:
        """Return what a query gives; it cannot change the database."""
        try:
            with self._connection(name, "ro") as connection:
                return Captured(_tables.sort_rows(_read(connection, sql)))
        except sqlite3.OperationalError as error:
            late = "interrupted" in str(error)
            reason = (
                f"the query takes more than {_tables.MAX_QUERY_SECONDS} s" if late else str(error)
            )
            return Captured(error=one_line(reason))
        except (sqlite3.Error, sqlite3.Warning, ServiceError) as error:
            return Captured(error=one_line(str(error)))

    def execute(self, name: str, sql: str) -> None:
        """Run statements in a transaction of their own, and commit it."""
        with self._connection(name, "rw") as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for _line, statement in _statements(sql):
                    connection.execute(statement)
                connection.execute("COMMIT")
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise ServiceError(one_line(str(error))) from None

    def kept(self) -> Iterator[str]:
        """Yield the lines by which a person asks each database."""
        for name in self._databases:
            yield f"sqlite3 {self.path_of(name)}"

    @contextmanager
    def _connection(self, name: str, mode: str) -> Iterator[sqlite3.Connection]:
        with closing(
            sqlite3.connect(
                f"{self.path_of(name).as_uri()}?mode={mode}",
                uri=True,
                timeout=_MAX_LOCK_SECONDS,
                # Transactions begin and end where the statements say so.
                isolation_level=None,
            )
        ) as connection:
            yield connection

    def _fill(self, connection: sqlite3.Connection, file: Path) -> None:
        shown = file.relative_to(self._root) if file.is_relative_to(self._root) else file
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ServiceError(f"{shown} is not UTF-8") from None
        except OSError as error:
            raise ServiceError(f"{shown}: {error.strerror}") from None
        for line, statement in _statements(text):
            try:
                connection.execute(statement)
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise ServiceError(one_line(f"{shown}:{line}: {error}")) from None


def _read(connection: sqlite3.Connection, sql: str) -> bytes:
    deadline = time.monotonic() + _tables.MAX_QUERY_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    cursor = connection.execute(sql)
    if cursor.description is None:
        raise ServiceError("the query gives no table")
    table = bytearray()
    for line in _tables.to_csv([column[0] for column in cursor.description], cursor):
        table += line.encode(errors="surrogateescape")
        if len(table) > _tables.MAX_TABLE_BYTES:
            raise ServiceError(_tables.TOO_LARGE)
    return bytes(table)


def _statements(sql: str) -> Iterator[tuple[int, str]]:
    """Yield each statement, and the line where it begins.

    >>> [*_statements("SELECT 1;\\n\\nSELECT\\n 2")]
    [(1, 'SELECT 1;'), (3, 'SELECT\\n 2')]
    """
    found, begin = "", 1
    for number, line in enumerate(sql.splitlines(keepends=True), 1):
        if not found.strip():
            found, begin = "", number
        # Several may be in one line.
        for part in _parts(line):
            found += part
            if sqlite3.complete_statement(found):
                yield begin, found.strip()
                found, begin = "", number
    if found.strip():
        yield begin, found.strip()


def _parts(line: str) -> Iterator[str]:
    start = 0
    while end := line.find(";", start) + 1:
        yield line[start:end]
        start = end
    yield line[start:]
