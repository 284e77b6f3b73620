# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell, without importing Airflow, whether prepare_database.py would find nothing to do.

Reads {"url": ..., "admin": {"username", "password", ...}} from standard input. Ends with 0 where
the schemas of Airflow and of its log-in are those of this environment, and the admin's account has
this password; with another code where that is not so, or cannot be told without Airflow.
"""

import importlib.util
import json
import re
import sys
from pathlib import Path

import psycopg2
from werkzeug.security import check_password_hash

# An assignment of a migration, of one revision or of several.
REVISIONS = re.compile(r"^(down_)?revision(?::[^=]+)?\s*=\s*(\([^)]*\)|.*)$", re.MULTILINE)
TIMEOUT_SECONDS = 10


def heads(folder: Path) -> list[str]:
    """Return the migrations of a folder that no other one follows, as Alembic has them."""
    found: set[str] = set()
    followed: set[str] = set()
    for path in folder.glob("*.py"):
        for down, value in REVISIONS.findall(path.read_text()):
            (followed if down else found).update(re.findall(r"[\"']([0-9a-zA-Z_]+)[\"']", value))
    return sorted(found - followed)


def is_current(url: str, admin: dict[str, str], airflow: Path) -> bool:
    """Tell whether the database is as the package airflow and the admin's account want it."""
    wanted = [
        heads(airflow / "migrations/versions"),
        heads(airflow / "providers/fab/migrations/versions"),
    ]
    database = re.sub(r"^postgresql\+psycopg2?:", "postgresql:", url)
    with (
        psycopg2.connect(database, connect_timeout=TIMEOUT_SECONDS) as connection,
        connection.cursor() as cursor,
    ):
        found = []
        for table in ("alembic_version", "alembic_version_fab"):
            cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of these two
            found.append(sorted(version for (version,) in cursor.fetchall()))
        # The same question as prepare_database.py has.
        cursor.execute(
            "SELECT active, password FROM ab_user WHERE lower(username) = lower(%s)",
            (admin["username"],),
        )
        users = cursor.fetchall()
    if not all(wanted) or found != wanted or len(users) != 1:
        return False
    active, password = users[0]
    return bool(active and check_password_hash(password, admin["password"]))


def main() -> int:
    """Return the exit code."""
    given = json.load(sys.stdin)
    spec = importlib.util.find_spec("airflow")
    if not spec or not spec.origin:
        return 1
    return 0 if is_current(given["url"], given["admin"], Path(spec.origin).parent) else 1


if __name__ == "__main__":
    sys.exit(main())
