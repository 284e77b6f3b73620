# SPDX-License-Identifier: Apache-2.0
"""What a query gives in PostgreSQL, as its COPY writes it."""

import io
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from rax._printable import one_line
from rax.errors import ServiceError
from rax.testing._services import _tables

_MAX_CONNECT_SECONDS = 10
_MAX_REASON_CHARACTERS = 500
# What COPY writes must not depend on what somebody has set for a role.
SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO,MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "statement_timeout": f"{_tables.MAX_QUERY_SECONDS}s",
}


@contextmanager
def connected(options: Mapping[str, Any]) -> Iterator[Any]:
    """Connect to a database.

    :param options: as psycopg2 takes them
    :raises ServiceError: that fails, or what is done with the connection
    """
    try:
        import psycopg2
    except ImportError:
        raise ServiceError(
            "a case has a database of PostgreSQL, and psycopg2 is not installed: add"
            " apache-airflow-providers-postgres to packages/requirements.in of the deployment"
        ) from None
    given = {"client_encoding": "UTF8", "connect_timeout": _MAX_CONNECT_SECONDS, **options}
    try:
        with closing(psycopg2.connect(**given)) as connection:
            yield connection
    except psycopg2.Error as error:
        reason = error.diag.message_primary or str(error)
        hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        raise ServiceError(one_line(f"{reason}{hint}", _MAX_REASON_CHARACTERS)) from None


def table(connection: Any, sql: str) -> bytes:
    """Return what a query gives.

    :raises ServiceError: it gives too much
    """
    output = _Bounded()
    with connection.cursor() as cursor:
        # The query may end in a comment.
        cursor.copy_expert(
            f"COPY (\n{_tables.query_of(sql)}\n) TO STDOUT (FORMAT csv, HEADER)", output
        )
    return _tables.sort_rows(output.getvalue())


class _Bounded(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > _tables.MAX_TABLE_BYTES:
            raise ServiceError(_tables.TOO_LARGE)
        return super().write(data)
