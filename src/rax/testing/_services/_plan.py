# SPDX-License-Identifier: Apache-2.0
"""Which roles and databases of PostgreSQL the credentials of a case lead to."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rax.errors import ServiceError
from rax.testing._model import Given

# PostgreSQL would cut a longer name, and take what is left for another one.
_MAX_NAME_BYTES = 63
_PASSWORD_BYTES = 18


class Database(NamedTuple):
    """A database as its credential reaches it, and the files of SQL that fill it."""

    user: str
    password: str
    name: str
    files: Sequence[Path]


def plan(given: Given) -> dict[str, Database]:
    """Return the database of each credential of PostgreSQL.

    What is given of the credential counts; otherwise role and database are called as it is, and the
    password is a new one.

    :raises ServiceError: two credentials give the same role other passwords, or a name is too long
    """
    passwords: dict[str, str] = {}
    found: dict[str, Database] = {}
    for name, files in given.postgres.items():
        fields = given.credentials.get(name, {})
        metadata = fields.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        user = str(fields.get("user") or name)
        database = str(metadata.get("database") or metadata.get("schema") or name)
        for what, text in (("user", user), ("database", database)):
            if len(text.encode()) > _MAX_NAME_BYTES or "\0" in text:
                raise ServiceError(
                    f"{what} of the credential {name} is none of PostgreSQL, which takes"
                    f" {_MAX_NAME_BYTES} bytes: set it in given.credentials"
                )
        password = str(fields.get("pass") or "")
        if password and passwords.get(user, password) != password:
            raise ServiceError(
                f"the credential {name} gives the role {user} another password than one before it"
            )
        if not password:
            password = passwords.get(user) or secrets.token_urlsafe(_PASSWORD_BYTES)
        passwords[user] = password
        found[name] = Database(user, password, database, files)
    return found
