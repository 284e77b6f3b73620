# SPDX-License-Identifier: Apache-2.0
"""The databases of PostgreSQL that a case is given, each behind a credential of its own."""

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rax._printable import one_line
from rax.errors import ServiceError
from rax.testing._outputs import Captured
from rax.testing._services import _copying, _credentials
from rax.testing._services._children import plain_environment
from rax.testing._services._plan import Database
from rax.testing._services._server import Server
from rax.testing._services._template import ADMIN, ADMIN_DATABASE

_MAX_FILL_SECONDS = 300
# A transaction that the workflow has left open holds its locks.
_MAX_LOCK_SECONDS = 5
_MAX_REASON_CHARACTERS = 500
_WITH_STRATEGIES = 15_00_00
_ROLE_EXISTS = "42710"
_DATABASE_EXISTS = "42P04"
_READER = " ".join(
    f"-c {setting}={value}"
    for setting, value in {
        "default_transaction_read_only": "on",
        "lock_timeout": f"{_MAX_LOCK_SECONDS}s",
        **_copying.SETTINGS,
    }.items()
)
_WRITER = (
    f"-c timezone=UTC -c lock_timeout={_MAX_LOCK_SECONDS}s"
    f" -c statement_timeout={_MAX_FILL_SECONDS}s"
)


class Postgres:
    """The databases by the names of their credentials; two that name the same one share it.

    Each role owns what it fills. It is no superuser, as in production; a file of SQL that needs
    one, for an extension, says ``RESET SESSION AUTHORIZATION``.

    :param root: the repository, below which messages name files
    """

    def __init__(
        self, server: Server, databases: Mapping[str, Database], binaries: Path, root: Path
    ) -> None:
        self._server = server
        self._databases = databases
        self._psql = binaries / "psql"
        self._root = root

    def start(self) -> None:
        """Start the server anew, with the databases as they are given.

        :raises ServiceError: it does not start, or a file of SQL fails: with file and line
        """
        self._server.start()
        with self._connection(ADMIN, ADMIN_DATABASE, "") as connection:
            connection.autocommit = True
            for name, database in self._databases.items():
                self._make(connection, name, database)
        for database in self._databases.values():
            for file in database.files:
                self._fill(database, file)

    def stop(self) -> None:
        """End the server, with all that is in it."""
        self._server.stop()

    def close(self) -> None:
        """Hold nothing: a server that is stopped has no port."""

    def credentials(self) -> dict[str, dict[str, Any]]:
        """Return the fields of each credential."""
        return {
            name: _credentials.postgres_fields(*database[:3], self._server.port)
            for name, database in self._databases.items()
        }

    def table(self, name: str, sql: str) -> Captured:
        """Return what a query gives, in a transaction that changes nothing."""
        database = self._databases[name]
        try:
            with self._connection(database.user, database.name, _READER) as connection:
                return Captured(_copying.table(connection, sql))
        except ServiceError as error:
            return Captured(error=str(error))

    def execute(self, name: str, sql: str) -> None:
        """Run statements in a transaction of their own, and commit it."""
        database = self._databases[name]
        with (
            self._connection(database.user, database.name, _WRITER) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            connection.commit()

    def kept(self) -> Iterator[str]:
        """Yield the lines by which a person asks each database."""
        for database in self._databases.values():
            yield f"{self._psql} {shlex.quote(self._address(database.user, database.name))}"

    def _address(self, user: str, database: str) -> str:
        """Return what leads a program to a database, by the socket."""
        from psycopg2.extensions import make_dsn

        address: str = make_dsn(
            host=str(self._server.folder), port=self._server.port, user=user, dbname=database
        )
        return address

    def _connection(self, user: str, database: str, options: str) -> AbstractContextManager[Any]:
        """Connect over the socket, which asks for no password; what fails is a ServiceError."""
        return _copying.connected(
            {"dsn": self._address(user, database), "sslmode": "disable", "options": options}
        )

    def _make(self, connection: Any, name: str, database: Database) -> None:
        """Make the role and the database of a credential, where another has not made them."""
        from psycopg2 import Error, extensions, sql

        role, own = sql.Identifier(database.user), sql.Identifier(database.name)
        # Copying files is the cheaper way, where there are two.
        has_strategies = connection.server_version >= _WITH_STRATEGIES
        how = sql.SQL("STRATEGY file_copy" if has_strategies else "")
        verifier = extensions.encrypt_password(
            database.password, database.user, connection, "scram-sha-256"
        )
        for statement, exists in (
            (
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(verifier)),
                _ROLE_EXISTS,
            ),
            (
                sql.SQL("CREATE DATABASE {} OWNER {} {}").format(own, role, how),
                _DATABASE_EXISTS,
            ),
        ):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
            except Error as error:
                if error.pgcode != exists:
                    reason = one_line(error.diag.message_primary or "", _MAX_REASON_CHARACTERS)
                    raise ServiceError(f"{name}: PostgreSQL refuses its {reason}") from None

    def _fill(self, database: Database, file: Path) -> None:
        role = '"' + database.user.replace('"', '""') + '"'
        command = [
            *(self._psql, "--no-psqlrc", "--quiet", "--no-password", "--set", "ON_ERROR_STOP=1"),
            *("--dbname", self._address(ADMIN, database.name), "--output", "/dev/null"),
            *("--command", f"SET SESSION AUTHORIZATION {role}", "--file", file),
        ]
        try:
            done = subprocess.run(  # noqa: S603 - psql, with a file of the repository
                [*map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Where \copy and \i begin.
                cwd=file.parent,
                env={**plain_environment(), "PGOPTIONS": "-c client_min_messages=error"},
                timeout=_MAX_FILL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ServiceError(
                f"{self._shown(file)} takes more than {_MAX_FILL_SECONDS} s"
            ) from None
        except OSError as error:
            raise ServiceError(f"{self._shown(file)}: psql: {error.strerror}") from None
        if done.returncode:
            if full := self._server.full():
                raise ServiceError(f"{self._shown(file)}: {full}")
            raise ServiceError(self._reason(file, done.stderr.decode(errors="replace")))

    def _reason(self, file: Path, answer: str) -> str:
        """Return where psql has stopped, and why: ``tests/flows/before.sql:3: ERROR: …``."""
        lines = answer.splitlines()
        line = next((line for line in lines if "ERROR:" in line), "")
        # Of data in the file, the line above is where they end.
        copied = (line for line in lines if line.startswith("CONTEXT:  COPY"))
        text = " ".join([line or answer, *copied]).removeprefix("psql:")
        if not text.startswith(f"{file}:"):
            text = f"{file}: {text}"
        return one_line(text.replace(str(file), self._shown(file), 1), _MAX_REASON_CHARACTERS)

    def _shown(self, file: Path) -> str:
        return str(file.relative_to(self._root) if file.is_relative_to(self._root) else file)
