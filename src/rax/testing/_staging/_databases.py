# SPDX-License-Identifier: Apache-2.0
"""The databases of a cluster, asked with the credentials of this laptop; nothing is changed."""

from collections.abc import Iterable, Mapping
from typing import Any

from rax.credentials import Credential, connection_fields, get_credentials
from rax.errors import CommandError, CredentialNotFoundError, ServiceError
from rax.testing._model import Query
from rax.testing._outputs import Captured
from rax.testing._services import _copying

# What the workflow has locked is not waited for.
_SETTINGS = {"lock_timeout": "5s", **_copying.SETTINGS}


class Databases:
    """The databases of PostgreSQL that cases ask, by the names of their credentials.

    :raises CommandError: this laptop lacks the credential of one
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.credentials: Mapping[str, Credential] = {name: _credential(name) for name in names}

    def table(self, query: Query) -> Captured:
        """Return what a query gives, in a transaction that changes nothing."""
        try:
            options = _options(self.credentials[query.database])
            with _copying.connected(options) as connection:
                # A pooler takes no options at the begin of a connection.
                connection.set_session(readonly=True)
                with connection.cursor() as cursor:
                    for setting, value in _SETTINGS.items():
                        cursor.execute("SELECT set_config(%s, %s, true)", (setting, value))
                return Captured(_copying.table(connection, query.sql))
        except ServiceError as error:
            return Captured(error=str(error))


def _credential(name: str) -> Credential:
    try:
        found = get_credentials(name)
        connection_fields(found, "postgres")
    except CredentialNotFoundError:
        raise CommandError(
            f"the credential {name} is not here, by which the tables of the cluster are asked: "
            f"./rax credentials set {name}, with an account that may read them"
        ) from None
    return found


def _options(credential: Credential) -> dict[str, Any]:
    """Return how psycopg2 connects with a credential, as a task of the cluster does."""
    fields = connection_fields(credential, "postgres")
    return {
        **fields["extra"],
        **{
            option: fields[field]
            for option, field in {
                "host": "host",
                "port": "port",
                "dbname": "schema",
                "user": "login",
                "password": "password",
            }.items()
            if fields[field]
        },
    }
