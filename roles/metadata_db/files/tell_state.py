# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what of the wanted state of PostgreSQL is there: run by the account postgres.

Reads {"port": ..., "databases": [{"name", "user", "password"}], "addresses": [...]} from standard
input. Prints a line for each role, database and address that is as it is wanted, and one with
"closed" for each database in which nobody but its owner has rights. What is not named may be
otherwise. Passwords are nowhere but in standard input.
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import sys
from typing import Any

import psycopg2

# What the modules of the role give a role and a database.
ROLES = """
    SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin AND NOT (rolsuper OR rolcreatedb
    OR rolcreaterole OR rolreplication OR rolbypassrls) AND rolname = ANY(%s)"""
DATABASES = """
    SELECT datname, pg_get_userbyid(datdba), NOT EXISTS (
        SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0)
    FROM pg_database WHERE pg_encoding_to_char(encoding) = 'UTF8' AND datcollate = 'C.UTF-8'
    AND datctype = 'C.UTF-8' AND datname = ANY(%s)"""
SCRAM = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([^$]+)\$([^:]+):(.+)")
TIMEOUT_SECONDS = 5


def is_password_of(secret: str | None, password: str) -> bool:
    """Tell whether a role's secret was made of the password (RFC 5802, PostgreSQL's pg_authid).

    One with letters beyond ASCII, which PostgreSQL prepares first, may be taken for another.
    """
    match = SCRAM.fullmatch(secret or "")
    if not match:
        return False
    salt = base64.b64decode(match[2])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(match[1]))
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client).digest(), base64.b64decode(match[3]))


def is_answering(address: str, port: int) -> bool:
    """Tell whether somebody listens at the address."""
    try:
        socket.create_connection((address, port), TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def tell(wanted: dict[str, Any], cursor: Any) -> list[str]:
    """Return the lines that main() prints."""
    databases = wanted["databases"]
    cursor.execute(ROLES, ([one["user"] for one in databases],))
    secrets = dict(cursor.fetchall())
    cursor.execute(DATABASES, ([one["name"] for one in databases],))
    found = {name: (owner, closed) for name, owner, closed in cursor.fetchall()}
    lines = [
        f"roles {one['user']}"
        for one in databases
        if is_password_of(secrets.get(one["user"]), one["password"])
    ]
    for one in databases:
        owner, closed = found.get(one["name"], ("", False))
        lines += [f"databases {one['name']}"] * (owner == one["user"])
        lines += [f"closed {one['name']}"] * closed
    return lines


def main() -> None:
    """Tell what is there, and fail where the server cannot be asked."""
    wanted = json.load(sys.stdin)
    port = int(wanted["port"])
    connection = psycopg2.connect(dbname="postgres", port=port, connect_timeout=TIMEOUT_SECONDS)
    with connection, connection.cursor() as cursor:
        lines = tell(wanted, cursor)
    lines += [f"addresses {one}" for one in wanted["addresses"] if is_answering(one, port)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
