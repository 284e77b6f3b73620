# SPDX-License-Identifier: Apache-2.0
"""A secrets backend: the credentials of this node as Airflow's connections.

Airflow loads it in tasks and components through ``[secrets]``::

    backend = rax.airflow.secrets.CredentialsBackend
    backend_kwargs = {"connections": {"postgres_default": "EBI-ETL-DEV-01"}}

A connection id that is a credential's name is made of that credential, with no row in the metadata
database, by the rules of ``rax.credentials.connection_fields``. The API server has to be without
this backend: it would answer any worker with the credentials of its own node.
"""

import json
from collections.abc import Mapping
from typing import Any

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

from rax.credentials import connection_fields, get_credentials
from rax.errors import CredentialNotFoundError, RaxError, UnreadableCredentialError

__all__ = ["ConnectionDeniedError", "CredentialsBackend"]


# This error is not in rax.errors, which does not import Airflow. For any error but its own, Airflow
# writes a line to its debug log and asks the next backend, which says at best that the connection
# is not defined.
class ConnectionDeniedError(RaxError, AirflowSecretsBackendAccessDenied):  # type: ignore[misc]  # Airflow is not here when types are checked
    """A connection's credential is on this node, or has to be, and cannot be used."""


class CredentialsBackend(BaseSecretsBackend):  # type: ignore[misc]  # Airflow is not here when types are checked
    """The connections whose id is a credential's name, or is mapped to one.

    Each look-up reads the newest credential. Neither variables nor settings are served.

    :param connections: connection id → name of the credential it is made of
    """

    def __init__(self, connections: Mapping[str, str] | None = None) -> None:
        """Raise RaxError unless the mapping is one of strings to strings."""
        connections = {} if connections is None else connections
        if not isinstance(connections, Mapping) or not all(
            isinstance(name, str) for name in (*connections, *connections.values())
        ):
            raise RaxError(
                "[secrets] backend_kwargs: connections has to be an object of strings, "
                "connection id to name of a credential"
            )
        self._connections = dict(connections)

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Any:
        """Return the connection, or None if there is no such credential and none is mapped to it.

        A node's credentials are for all teams: ``team_name`` makes no difference.

        :raises ConnectionDeniedError: its credential is missing though mapped, or cannot be used
        """
        connection, problem = self._make(conn_id, team_name)
        if problem:
            # Raised here, where nothing in the frame holds the credential, and where no error that
            # may quote it becomes the context of this one.
            raise ConnectionDeniedError(f"connection {conn_id!r}: {problem}")
        return connection

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:  # noqa: ARG002 - the interface is Airflow's
        """Return the connection as JSON, for what does not ask get_connection()."""
        name = self._connections.get(conn_id, conn_id)
        try:
            fields = connection_fields(get_credentials(name))
            return json.dumps({key: value for key, value in fields.items() if value})
        except UnreadableCredentialError as error:
            problem = str(error)
        except CredentialNotFoundError as error:
            if conn_id not in self._connections:
                return None
            problem = str(error)
        except RaxError as error:
            problem = str(error)
        raise ConnectionDeniedError(f"connection {conn_id!r}: {problem}")

    def get_variable(self, key: str, team_name: str | None = None) -> None:  # noqa: ARG002 - the interface is Airflow's
        """Return None: no variable is served."""
        return

    def _make(self, conn_id: str, team_name: str | None) -> tuple[Any, str]:
        """Return the connection or None, and why Airflow cannot make it."""
        try:
            connection = super().get_connection(conn_id, team_name)
            if connection is not None:
                # Airflow asks for this next, and would take an error for a reason to ask other
                # backends.
                connection.get_uri()
        except ConnectionDeniedError:
            raise
        except Exception as error:
            return None, f"Airflow can make none of its credential ({type(error).__name__})"
        return connection, ""
