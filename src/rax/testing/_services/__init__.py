# SPDX-License-Identifier: Apache-2.0
"""What a case is given, in the process and the folder of the case: databases, sources, files.

All of it ends with the case, also when that is killed: Linux tells PostgreSQL that the case has
ended, and the HTTP server finds the end of its input. Both are in sessions of their own, so that a
signal to the group of the case misses them, and PostgreSQL ends in order.

PostgreSQL refuses to run as user id 0, also where that is another one's in a user namespace. So the
namespace of an ordinary user has to map its id to itself; root starts it as ``nobody``.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rax.errors import ServiceError
from rax.testing._model import Change, Given, Query
from rax.testing._outputs import Captured
from rax.testing._services import _credentials, _overlay
from rax.testing._services._account import other_account
from rax.testing._services._binaries import find_binaries
from rax.testing._services._down import Down
from rax.testing._services._files import Files
from rax.testing._services._http import Http
from rax.testing._services._plan import Database, plan
from rax.testing._services._postgres import Postgres
from rax.testing._services._server import Server
from rax.testing._services._sqlite import Sqlite
from rax.testing._services._template import Template

__all__ = ["Services"]


class _Service(Protocol):
    # What it is given is there anew after each start; stop and start keep its ports.
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def credentials(self) -> dict[str, dict[str, Any]]: ...


class Services:
    """All that a case is given, from ``with`` to the end of its block.

    Only the main thread starts and resets it: what runs for the case ends with the thread that has
    started it.

    :param given: what the spec says of the case
    :param folder: an empty folder of this account, for this case alone; whoever made it removes it
    :param root: the repository
    :param shared: a folder above it, which other cases have too: it gets PostgreSQL's empty cluster
    :param memory: an empty folder below it, in memory and of a bounded size, for PostgreSQL; None
        where there is none
    :param keep: whether the databases stay up, and all files where they are
    :raises ServiceError: on entering, what is given cannot be started or filled
    """

    def __init__(
        self,
        given: Given,
        folder: Path,
        root: Path,
        shared: Path,
        *,
        memory: Path | None = None,
        keep: bool = False,
    ) -> None:
        self._given = given
        self._folder = folder
        self._root = root
        self._shared = shared
        self._memory = memory
        self._keep = keep
        self._services: list[_Service] = []
        self._server: Server | None = None
        self._http: Http | None = None
        self._databases: dict[str, Postgres | Sqlite] = {}
        self._stack = ExitStack()
        #: Where the tasks begin.
        self.work = folder / "work"
        self._files = Files(self.work, given.files)
        #: What the run has to see.
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        with _told(), ExitStack() as stack:
            self._check_names()
            self._folder.chmod(0o700)
            self.work.mkdir(0o700)
            for service in self._make():
                self._services.append(service)
                stack.callback(service.close)
                stack.callback(service.stop)
                service.start()
            self._write()
            if self._keep:
                stack.pop_all()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Bring everything back to what is given; ports and passwords stay the same.

        :raises ServiceError: it cannot be started again
        """
        with _told():
            for service in reversed(self._services):
                service.stop()
            for service in self._services:
                service.start()

    def table(self, query: Query) -> Captured:
        """Return what a query gives, in UTC, its rows sorted; or in a line why it gives nothing."""
        database = self._databases.get(query.database)
        if database is None:
            return Captured(error=self._no_database(query.database))
        return database.table(query.database, query.sql)

    def file(self, path: str) -> Captured:
        """Return what a file below the folder of the tasks holds, of 16 MiB at most."""
        return self._files.read(path)

    def change(self, change: Change) -> None:
        """Change data and files as somebody outside of the workflow would, and commit it.

        :raises ServiceError: a statement fails, or a file cannot be copied; it names the place
        """
        try:
            for name, sql in change.statements.items():
                if (database := self._databases.get(name)) is None:
                    raise ServiceError(self._no_database(name))
                database.execute(name, sql)
            for path, source in change.files.items():
                self._files.put(path, source)
        except ServiceError as error:
            raise ServiceError(f"{change.place}: {error}") from None

    def full(self) -> str:
        """Say what to do where PostgreSQL has had no room for something; nothing where it had."""
        return self._server.full() if self._server else ""

    def kept(self) -> tuple[str, ...]:
        """Return the lines by which a person asks the databases that ``keep`` leaves up."""
        databases = dict.fromkeys(self._databases.values())
        return tuple(line for database in databases for line in database.kept())

    def _check_names(self) -> None:
        given = self._given
        names = Counter([*given.postgres, *given.sqlite, *given.http])
        for name, count in names.items():
            if count > 1:
                raise ServiceError(f"{name} is given twice: a credential leads to one service")

    def _make(self) -> Iterator[_Service]:
        """Yield each service; the next one is made when it has started."""
        given, down = self._given, self._given.down
        yield self._files
        planned = plan(given)
        if up := {name: one for name, one in planned.items() if name not in down}:
            yield self._found(self._postgres(up), up)
        if files := {name: one for name, one in given.sqlite.items() if name not in down}:
            yield self._found(Sqlite(self._folder / "sqlite", files, self._root), files)
        if sources := {name: one for name, one in given.http.items() if name not in down}:
            self._http = Http(self._folder, sources)
            yield self._http
        # After the server, which takes the standard port where it is free.
        yield Down(given, planned, self._folder)

    def _postgres(self, databases: Mapping[str, Database]) -> Postgres:
        account, binaries = other_account(), find_binaries()
        place = self._memory or self._folder
        if account is not None:
            account.let_in(place, self._shared)
        server = Server(
            binaries,
            Template(binaries, self._shared, account),
            place / "postgresql",
            self._folder / "postgresql.log",
            account,
            in_memory=self._memory is not None,
            stays=self._keep,
        )
        self._server = server
        return Postgres(server, databases, binaries, self._root)

    def _found(self, service: Postgres | Sqlite, names: Iterable[str]) -> Postgres | Sqlite:
        self._databases |= dict.fromkeys(names, service)
        return service

    def _no_database(self, name: str) -> str:
        return f"{name} is {'down' if name in self._given.down else 'no database of this case'}"

    def _write(self) -> None:
        """Write the files that the run is to see, and the environment that names them."""
        served = {
            name: fields
            for service in self._services
            for name, fields in service.credentials().items()
        }
        given = self._given.credentials
        credentials = {
            name: _credentials.merge(name, served.get(name), given.get(name))
            for name in sorted({*served, *given})
        }
        folder, overlay = self._folder / "credentials", self._folder / "configs"
        _credentials.write_credentials(folder, credentials)
        _overlay.write_configs(overlay, self._given.configs)
        roots = [self._root / "configs", *([overlay] if self._given.configs else [])]
        self.environment = {
            **(self._http.environment() if self._http else {}),
            **self._given.environment,
            **_named("AIRFLOW_CONN_", self._given.connections),
            **_named("AIRFLOW_VAR_", self._given.variables),
            "RAX_CREDENTIALS_DIR": str(folder),
            "RAX_CONFIG_DIR": os.pathsep.join(map(str, roots)),
        }


@contextmanager
def _told() -> Iterator[None]:
    """Have a full disk, and what else a system refuses, be a ServiceError."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise ServiceError(f"what the case is given: {where}{error.strerror}") from None


def _named(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    # Airflow asks for them in capitals.
    return {f"{prefix}{name.upper()}": value for name, value in values.items()}
