"""PostgreSQL, reached with a credential of this node."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from rax.credentials import get_credentials


@contextmanager
def transaction(source: str) -> Iterator[psycopg2.extensions.cursor]:
    """Open a connection for one transaction, and give a cursor of it.

    It is committed at the end of the block, or rolled back as a whole when the block fails.
    """
    credential = get_credentials(source)
    connection = psycopg2.connect(
        host=credential["host"],
        port=credential["metadata"].get("port"),
        dbname=credential["metadata"].get("database"),
        user=credential["user"],
        password=credential["pass"],
        connect_timeout=10,
    )
    with closing(connection), connection, connection.cursor() as cursor:
        yield cursor
