# SPDX-License-Identifier: Apache-2.0
"""A credential, and get_credentials(), which keeps those that it has read."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rax._environment import setting
from rax.credentials import _files, _masking
from rax.credentials._connections import connection_fields

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Connection


class Credential(Mapping[str, Any]):
    """An immutable mapping with the keys user, pass, host, url, description and metadata.

    A pickle of it holds its name alone, and reads the file again where it is loaded.
    """

    # Where code imports it from; pickles and messages name that place.
    __module__ = "rax.credentials"
    __slots__ = ("_name", "_protected", "_values")

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
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
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        # Not url, description and metadata: they may hold secrets too.
        hidden = self._protected or ()
        user, host = ("***" if field in hidden else self[field] for field in ("user", "host"))
        return f"Credential({self.name!r}, user={user!r}, host={host!r}, pass='***')"

    def __copy__(self) -> "Credential":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Credential":
        return self

    def __reduce__(self) -> tuple[Callable[[str], "Credential"], tuple[str]]:
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


class _CacheEntry:
    """A credential that was read, until its file changes."""

    __slots__ = ("credential", "identity", "maskers", "path")

    def __init__(self, path: str, file: _files.File, credential: Credential) -> None:
        self.path = path
        self.identity = file.identity
        self.credential = credential
        # Those that its secrets are registered with.
        self.maskers: tuple[Any, ...] | None = None


# The keys are directory and name. Entries are put and got as a whole, so that threads need no lock,
# and a fork finds none held.
_cache: dict[tuple[str, str], _CacheEntry] = {}


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
    directory = setting("RAX_CREDENTIALS_DIR") or _files.DEFAULT_DIRECTORY
    entry = _cache.get((directory, name))
    if entry is None or not _is_current(entry):
        entry = _read(directory, name)
    maskers = _masking.maskers()
    if entry.maskers != maskers and _masking.register(entry.credential):
        entry.maskers = maskers
    if max_age is not None or setting("RAX_CREDENTIALS_MAX_AGE"):
        from rax.credentials import _freshness

        _freshness.check(Path(directory), name, max_age)
    return entry.credential


get_credentials.__module__ = Credential.__module__


def _is_current(entry: _CacheEntry) -> bool:
    try:
        # The path leads through the directory that is published now; a link is not followed.
        return _files.identity(os.lstat(entry.path)) == entry.identity
    except OSError:
        return False


def _read(directory: str, name: str) -> _CacheEntry:
    _cache.pop((directory, name), None)
    file = _files.read(Path(directory), name)
    path = f"{directory}/{name}{_files.SUFFIX}"
    entry = _CacheEntry(path, file, Credential(name, file.values))
    if file.identity is not None:
        _cache[directory, name] = entry
    return entry


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return _Metadata({key: _frozen(item) for key, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


# A child has maskers and a supervisor of its own, with which nothing is registered yet.
os.register_at_fork(after_in_child=_cache.clear)
