# SPDX-License-Identifier: Apache-2.0
"""A credential as a URI, and as the fields of an Airflow connection."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rax.credentials._connection_options import extras
from rax.errors import MalformedCredentialError, RaxError

if TYPE_CHECKING:
    from rax.credentials._credential import Credential

# As in RFC 3986, and with _ for the names of SQLAlchemy's drivers.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")
# Several hosts, which PostgreSQL takes, have commas between them.
_HOST = re.compile(r"[A-Za-z0-9._,-]+")
# An address of IP version 6 has at least two colons, so db:5432 is not taken for one.
_ADDRESS = re.compile(r"(\[)?((?:[0-9A-Fa-f]*:){2}[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?)(?(1)\])")
# SQLAlchemy 2.0 takes the database of a URL as it is written, and later versions unquote it. So it
# is written as it is, and a name that the two would read differently is refused.
_SQLALCHEMY = (
    "postgresql", "mysql", "mariadb", "oracle", "mssql", "trino", "snowflake", "redshift",
    "cockroachdb", "clickhouse", "clickhousedb",
)  # fmt: skip
_NOT_IN_SQLALCHEMY = re.compile(r"[?%#@\x00-\x1f\x7f]")
# For these schemes, the database is a path that slashes divide.
_PATHS = ("http", "https", "ftp", "ftps", "sftp")
_URL_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+[A-Za-z0-9._-]+)*://")

# The form that the types of connections have in Airflow.
_TYPE = re.compile(r"[a-z][a-z0-9_]*")
# These characters end a part of the text that the hook makes of all fields and options.
_IN_CONNECTION_STRING = re.compile(r"[;{}\x00]")


def uri(
    credential: "Credential",
    scheme: str,
    database: str | int | None,
    port: int | None,
    query: Mapping[str, str | int | Sequence[str]] | None,
) -> str:
    """Build the URI; see Credential.uri()."""
    from urllib.parse import quote

    # All that may raise comes before the password is in this frame.
    if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
        raise RaxError(f"{scheme!r} is not the scheme of a URL, such as 'postgresql+psycopg2'")
    place = _host(credential)
    if number := port_of(credential, port):
        place += f":{number}"
    name = _database(credential) if database is None else str(database)
    if name:
        place += f"/{_quoted_database(credential, scheme.lower(), name)}"
    if query:
        place += f"?{_query(query)}"
    userinfo = quote(credential["user"], safe="")
    if credential["pass"]:
        userinfo += f":{quote(credential['pass'], safe='')}"
    return f"{scheme}://{userinfo}@{place}" if userinfo else f"{scheme}://{place}"


def connection_fields(credential: "Credential", conn_type: str | None = None) -> dict[str, Any]:
    """Return the fields of an Airflow connection, all of which JSON can hold.

    ====================  ========================================================================
    ``conn_type``         the argument, else ``metadata.conn_type``, else the scheme of ``url``,
                          in lower case; in Airflow, ``postgresql`` is ``postgres`` and ``https`` is
                          ``http``
    ``host``              ``host``
    ``login, password``   ``user``, ``pass``
    ``schema``            ``metadata.database``, else ``metadata.schema``; a connection of the type
                          ``http`` has the scheme of ``url`` where there is neither, as Airflow's
                          hook takes it
    ``port``              ``metadata.port``
    ``extra``             other metadata that is an option of the type, such as ``sslmode`` of
                          postgres, or is marked as meant for the connection: ``extra.NAME`` as the
                          option NAME, ``header.NAME`` as a header of http. Nothing else.
    ====================  ========================================================================

    Raises MalformedCredentialError, which names the source and what to set in the vault, when no
    type is given anywhere, the port is not one, or an option cannot be what it is.

    >>> from rax.credentials import get_credentials
    >>> fields = connection_fields(get_credentials("EBI-ETL-DEV-01"), "postgres")
    >>> fields["conn_type"], fields["host"], fields["port"], fields["login"], fields["extra"]
    ('postgres', 'db.example.com', 5432, 'etl', {})
    """
    kind, protocol = _type_and_protocol(credential, conn_type)
    schema = _database(credential)
    if kind == "http" and schema and schema not in ("http", "https"):
        raise MalformedCredentialError(
            f"metadata.schema of {credential.name} is neither http nor https, and its connection "
            "is one of http"
        )
    if not schema and kind == "http" and protocol in ("http", "https"):
        # Without it, Airflow would send the password over http.
        schema = protocol
    fields = {
        "conn_type": kind,
        "host": credential["host"],
        "login": credential["user"],
        "password": credential["pass"],
        "schema": schema,
        "port": port_of(credential, None),
        "extra": {key: _plain(item) for key, item in extras(credential, kind).items()},
    }
    if kind == "odbc":
        _check_connection_string(credential, fields)
    return fields


def _type_and_protocol(credential: "Credential", conn_type: str | None) -> tuple[str, str]:
    match = _URL_SCHEME.match(credential["url"])
    scheme = match[1].lower() if match else ""
    given = conn_type or credential["metadata"].get("conn_type") or scheme
    if not given or not isinstance(given, str):
        raise MalformedCredentialError(
            f"{credential.name} does not say which type of connection it is: set conn_type in its "
            "metadata in the vault, such as conn_type=postgres, or give its url a scheme"
        )
    # As Airflow reads the scheme of a connection's URI.
    given = given.lower()
    kind = {"postgresql": "postgres", "https": "http"}.get(given, given).replace("-", "_")
    if not _TYPE.fullmatch(kind):
        raise MalformedCredentialError(
            f"metadata.conn_type of {credential.name} is not the type of a connection"
        )
    return kind, "https" if given == "https" else scheme


def _check_connection_string(credential: "Credential", fields: Mapping[str, Any]) -> None:
    """Refuse what would be another option where the hook puts it."""
    given = {"user": fields["login"], "pass": fields["password"], "host": fields["host"]}
    given |= {"metadata.database": fields["schema"] or ""}
    given |= {f"metadata.{key}": value for key, value in fields["extra"].items()}
    for field, value in given.items():
        if _IN_CONNECTION_STRING.search(f"{value}"):
            raise MalformedCredentialError(
                f"{field} of {credential.name} has a character that ends a part of an ODBC "
                "connection string: ; { }"
            )


def _host(credential: "Credential") -> str:
    host: str = credential["host"]
    if match := _ADDRESS.fullmatch(host):
        return f"[{match[2]}]"
    if not _HOST.fullmatch(host):
        advice = "; a port belongs in metadata.port" if ":" in host else ""
        raise MalformedCredentialError(
            f"host of {credential.name} cannot be in a URL: it has to be a name, with xn-- for "
            f"other than ASCII letters, or an address{advice}"
        )
    return host


def port_of(credential: "Credential", port: int | None) -> int | None:
    """Return the port that is given, else the credential's; None where there is none.

    Raises MalformedCredentialError for one in the metadata that is none, RaxError for a given one.
    """
    given = credential["metadata"].get("port") if port is None else port
    if given is None or given == "":
        return None
    # A port that was typed into the vault may be a text.
    if isinstance(given, str) and re.fullmatch("[0-9]{1,5}", given):
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given < 2**16:
        if port is None:
            raise MalformedCredentialError(
                f"metadata.port of {credential.name} is not a number from 1 to 65535"
            )
        raise RaxError(f"{port!r} is not a port: give a number from 1 to 65535")
    return given


def _database(credential: "Credential") -> str | None:
    metadata = credential["metadata"]
    given = metadata.get("database")
    if given is None or given == "":
        given = metadata.get("schema")
    # Databases of Redis are numbers.
    return None if given is None or given == "" else str(given)


def _quoted_database(credential: "Credential", scheme: str, database: str) -> str:
    from urllib.parse import quote

    if scheme.partition("+")[0] in _SQLALCHEMY:
        if _NOT_IN_SQLALCHEMY.search(database):
            raise MalformedCredentialError(
                f"the database of {credential.name} has characters that SQLAlchemy does not read "
                "from a URL: use sqlalchemy.URL.create()"
            )
        return database
    return quote(database, safe="/" if scheme in _PATHS else "")


def _query(query: Mapping[str, str | int | Sequence[str]]) -> str:
    from urllib.parse import quote, urlencode

    return urlencode(query, doseq=True, quote_via=quote, safe="")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
