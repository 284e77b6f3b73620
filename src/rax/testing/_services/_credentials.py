# SPDX-License-Identifier: Apache-2.0
"""The credentials of a case: files in a folder, as a node has them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rax.config._files import near
from rax.credentials import _files, _writing
from rax.errors import RaxError, ServiceError
from rax.testing._services._ports import ADDRESS

_FIELDS = (*_files.FIELDS, _files.PROTECTED)


def write_credentials(folder: Path, credentials: Mapping[str, Mapping[str, Any]]) -> None:
    """Make the folder, with these credentials and no others.

    :raises ServiceError: one of them is none that ``get_credentials`` reads; no value is in it
    """
    folder.mkdir(0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name, fields in credentials.items():
            try:
                _files.check_name(name)
                content = _writing.encode(name, fields)
            except RaxError as error:
                raise ServiceError(str(error)) from None
            _writing.replace(descriptor, name, content)
    finally:
        os.close(descriptor)


def merge(
    name: str, served: Mapping[str, Any] | None, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a credential: what leads to a service, and over it what the case is given.

    :raises ServiceError: a field that is given is none of a credential
    """
    changes = given or {}
    for field in changes:
        if field not in _FIELDS:
            hint = near(field, _FIELDS) or f": it has {', '.join(_FIELDS)}"
            raise ServiceError(f"the credential {name} has no field {field!r}{hint}")
    if not isinstance(changes.get("metadata", {}), Mapping):
        raise ServiceError(f"the credential {name} cannot be: metadata is not an object")
    return _writing.merged(_writing.merged(None, served or {}), changes)


def postgres_fields(user: str, password: str, database: str, port: int) -> dict[str, Any]:
    """Return the fields that lead to a database of PostgreSQL."""
    metadata = {"conn_type": "postgres", "port": port, "database": database}
    return {"user": user, "pass": password, "host": ADDRESS, "metadata": metadata}


def sqlite_fields(path: Path) -> dict[str, Any]:
    """Return the fields that lead to a database of SQLite: Airflow wants its path as the host."""
    return {
        "host": str(path),
        # As SQLAlchemy has it.
        "url": f"sqlite:///{path}",
        "metadata": {"conn_type": "sqlite"},
    }


def http_fields(port: int, *, tls: bool) -> dict[str, Any]:
    """Return the fields that lead to an HTTP source."""
    scheme = "https" if tls else "http"
    metadata = {"conn_type": "http", "port": port}
    return {"host": ADDRESS, "url": f"{scheme}://{ADDRESS}:{port}", "metadata": metadata}


def port_fields(port: int) -> dict[str, Any]:
    """Return the fields that lead to a port, whatever should be there."""
    return {"host": ADDRESS, "metadata": {"port": port}}
