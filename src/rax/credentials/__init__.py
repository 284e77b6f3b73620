# SPDX-License-Identifier: Apache-2.0
"""The credentials of this node, read from the files that the vault's refresh has locked.

>>> from rax.credentials import get_credentials, list_credentials
>>> list_credentials()
['EBI-ETL-DEV-01']
>>> credential = get_credentials("EBI-ETL-DEV-01")
>>> credential["user"], credential["host"], credential["metadata"]["port"]
('etl', 'db.example.com', 5432)

Its password is a plain string, but what prints a credential does not print it:

>>> print(f"connecting with {credential}")
connecting with Credential('EBI-ETL-DEV-01', user='etl', host='db.example.com', pass='***')

Every call looks at the file, so that a process of any age gets the newest password; what was read
serves until the file changes. In a process that has loaded Airflow, its secrets masker is given the
password, so that the log of a task that prints it has ``***``. What a task forks cannot tell the
supervisor, which writes that log: there, ask for the credential in the task itself first.

Settings:

``RAX_CREDENTIALS_DIR``
    another directory than ``/etc/airflow/credentials``
``RAX_CREDENTIALS_MAX_AGE``
    how long ago the vault may have confirmed a credential: seconds, or ``90m``, ``12h``, ``7d``;
    0 or nothing is no limit
``RAX_CREDENTIALS_STALE``
    what happens to an older one: ``raise`` a StaleCredentialError (the default), or ``warn``
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rax.credentials import _files, _masking
from rax.credentials._connections import connection_fields
from rax.credentials._masking import secret_values

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Connection

__all__ = [
    "Credential",
    "connection_fields",
    "credential_age",
    "get_credentials",
    "list_credentials",
    "secret_values",
]


class Credential(Mapping[str, Any]):
    """An immutable mapping with the keys user, pass, host, url, description and metadata.

    A pickle of it holds its name alone, and reads the file again where it is loaded.
    """

    __slots__ = ("_name", "_protected", "_values")

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        """Hold a copy of the values; get_credentials() has checked them."""
        self._name = name
        self._values = {**values, "metadata": _frozen(values["metadata"])}
        names = self._values.pop(_files.PROTECTED, None)
        self._protected = None if names is None else frozenset(names)

    @property
    def name(self) -> str:
        """Return the name of the credential."""
        return self._name

    @property
    def protected(self) -> frozenset[str] | None:
        """Return what the vault protects besides the password, metadata as ``metadata.KEY``.

        None is for a file that does not say so.
        """
        return self._protected

    def __getitem__(self, key: str) -> Any:
        """Return one field."""
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self._values)

    def __repr__(self) -> str:
        """Name the credential; url, description and metadata may hold secrets too."""
        hidden = self._protected or ()
        user, host = ("***" if field in hidden else self[field] for field in ("user", "host"))
        return f"Credential({self.name!r}, user={user!r}, host={host!r}, pass='***')"

    def __copy__(self) -> "Credential":
        """Return itself: it cannot change."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Credential":
        """Return itself: it cannot change."""
        return self

    def __reduce__(self) -> tuple[Callable[[str], "Credential"], tuple[str]]:
        """Pickle the name alone."""
        return get_credentials, (self.name,)

    def uri(
        self,
        scheme: str,
        *,
        database: str | int | None = None,
        port: int | None = None,
        query: Mapping[str, str | int | Sequence[str]] | None = None,
    ) -> str:
        """Return ``scheme://user:password@host:port/database?query``, each part quoted for URLs.

        The result is a plain string with the password in it: don't print, log or return it.

        ``database`` is the path: a database, an AMQP virtual host, a path of HTTP, the number of a
        Redis database. Its default is ``metadata.database``, else ``metadata.schema``, and
        ``""`` is none. The default of ``port`` is ``metadata.port``. A user or password that is
        empty is left out.

        Raises MalformedCredentialError when host, port or database cannot be in such a URL, and
        RaxError when an argument is none.

        >>> credential = get_credentials("EBI-ETL-DEV-01")
        >>> credential.uri("postgresql+psycopg2", database="ebi", query={"sslmode": "require"})
        'postgresql+psycopg2://etl:hunter2@db.example.com:5432/ebi?sslmode=require'
        >>> credential.uri("amqp", database="/", port=5672)
        'amqp://etl:hunter2@db.example.com:5672/%2F'
        """
        from rax.credentials._connections import uri

        return uri(self, scheme, database, port, query)

    def connection(self, conn_type: str | None = None) -> "Connection":
        """Return an Airflow connection, made by connection_fields(); its id is the name.

        Its own repr has the password in it, as that of all of Airflow's connections. Imports
        Airflow, and raises what connection_fields() raises.
        """
        import json

        from airflow.sdk import Connection

        fields = connection_fields(self, conn_type)
        extra = fields.pop("extra")
        return Connection(conn_id=self.name, extra=json.dumps(extra) if extra else None, **fields)


class _Metadata(Mapping[str, Any]):
    """An immutable mapping that shows its keys and no value."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Metadata({', '.join(f'{key!r}: ***' for key in self)})"

    def __copy__(self) -> "_Metadata":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Metadata":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("metadata cannot be pickled: pickle its credential, which is a name")


class _Held:
    """A credential that was read, until its file changes."""

    __slots__ = ("audience", "credential", "identity", "path")

    def __init__(self, path: str, file: _files.File, credential: Credential) -> None:
        self.path = path
        self.identity = file.identity
        self.credential = credential
        # Those that have been told its secrets.
        self.audience: tuple[Any, ...] | None = None


# By directory and name. Only whole entries are put and got: threads need no lock, and a fork finds
# none held.
_held: dict[tuple[str, str], _Held] = {}


def get_credentials(name: str, *, max_age: "float | timedelta | None" = None) -> Credential:
    """Return the newest credential of that name.

    ``max_age``, in seconds or as a timedelta, is how long ago the vault may have confirmed the
    credential at most; it counts instead of ``RAX_CREDENTIALS_MAX_AGE``, and ``math.inf`` is no
    limit.

    Raises CredentialNotFoundError (UnreadableCredentialError where one cannot look),
    InsecureCredentialError by libpq's rule for private keys (owned by this account and at most
    0600, or by root and at most 0640), MalformedCredentialError, StaleCredentialError, or
    RaxError for a setting that makes no sense.

    >>> get_credentials("EBI-ETL-DEV-1")
    Traceback (most recent call last):
        ...
    rax.errors.CredentialNotFoundError: no credential 'EBI-ETL-DEV-1' in ...: \
it has EBI-ETL-DEV-01
    """
    directory = os.environ.get("RAX_CREDENTIALS_DIR") or _files.DEFAULT_DIRECTORY
    held = _held.get((directory, name))
    if held is None or not _is_current(held):
        held = _read(directory, name)
    audience = _masking.audience()
    if held.audience != audience and _masking.tell(held.credential):
        held.audience = audience
    if max_age is not None or os.environ.get("RAX_CREDENTIALS_MAX_AGE"):
        from rax.credentials import _freshness

        _freshness.check(Path(directory), name, max_age)
    return held.credential


def list_credentials() -> list[str]:
    """Return the names of the credentials that this node has, sorted.

    Raises CredentialNotFoundError when there is no directory of credentials, and
    UnreadableCredentialError when it cannot be listed.
    """
    return _files.names(_files.directory())


def credential_age(name: str) -> float | None:
    """Return how many seconds ago the vault last confirmed a credential.

    None means that it is unknown: the refresh's status file, ``<directory>.status.json``, is not
    there, damaged, not to be read or not to be trusted, does not have the name, or has a time that
    is still to come. Whether the credential itself can be read makes no difference.
    """
    from rax.credentials import _freshness

    _files.check_name(name)
    return _freshness.age(_files.directory(), name)


def _is_current(held: _Held) -> bool:
    try:
        # Through the directory that is published now, and without following a link.
        return _files.identity(os.lstat(held.path)) == held.identity
    except OSError:
        return False


def _read(directory: str, name: str) -> _Held:
    _held.pop((directory, name), None)
    file = _files.read(Path(directory), name)
    path = f"{directory}/{name}{_files.SUFFIX}"
    held = _Held(path, file, Credential(name, file.values))
    if file.identity is not None:
        _held[directory, name] = held
    return held


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return _Metadata({key: _frozen(item) for key, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


# What a process has told its maskers and its supervisor is not what its child has told its own.
os.register_at_fork(after_in_child=_held.clear)
