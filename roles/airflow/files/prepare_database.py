# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring Airflow's metadata database to the installed release, and its admin to what was given.

Reads the account from standard input: {"username": ..., "email": ..., "password": ...}.
Prints what was done, or, with --check, what is pending, as a JSON list: "schema", "fab-schema",
"admin". The password is nowhere but in standard input and, hashed, in the database.
"""

import json
import os
import sys

# Airflow logs to standard output, which is for the result: it gets the place of the errors.
result = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

# ruff: noqa: E402 - for that reason
from airflow import settings
from airflow.providers.fab.auth_manager.models import User
from airflow.providers.fab.auth_manager.models.db import FABDBManager
from airflow.utils import db
from sqlalchemy import func, select
from werkzeug.security import check_password_hash


def schema_is_current() -> bool:
    """Tell whether the main schema is that of the installed release."""
    try:
        db.check_migrations(timeout=0)
    except TimeoutError:
        return False
    return True


def fab_schema_is_current() -> bool:
    """Tell whether the tables of the log-in are those of the installed provider."""
    with settings.Session() as session:
        return bool(FABDBManager(session).check_migration())


def migrate_fab_schema() -> None:
    """Migrate the tables of the log-in."""
    with settings.Session() as session:
        FABDBManager(session).upgradedb()


def admin_is_current(wanted: dict[str, str]) -> bool:
    """Tell whether the account is there with this password."""
    # As the log-in finds it, without the application around it, which takes a second to build.
    named = select(User).where(func.lower(User.username) == func.lower(wanted["username"]))
    with settings.Session() as session:
        user = session.scalars(named).one_or_none()
        return bool(user and user.active and check_password_hash(user.password, wanted["password"]))


def keep_admin(wanted: dict[str, str]) -> None:
    """Create the account, or give it its password again."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        user = manager.find_user(username=wanted["username"])
        if user:
            user.active = True
            manager.reset_password(user.id, wanted["password"])
            return
        role = manager.find_role("Admin")
        if not manager.add_user(
            wanted["username"],
            "Airflow",
            "Admin",
            wanted["email"],
            role,
            password=wanted["password"],
        ):
            raise SystemExit(
                f"The account {wanted['username']} could not be made: its name or e-mail is in use"
            )


def main() -> None:
    """Do what is pending, or say it."""
    check = "--check" in sys.argv[1:]
    wanted = json.load(sys.stdin)
    done: list[str] = []
    for name, is_current, act in (
        ("schema", schema_is_current, db.upgradedb),
        ("fab-schema", fab_schema_is_current, migrate_fab_schema),
        ("admin", lambda: admin_is_current(wanted), lambda: keep_admin(wanted)),
    ):
        # Without the first, the tables that the next ones look at are not there.
        if (check and done) or not is_current():
            done.append(name)
            if not check:
                act()
    json.dump(done, result)


if __name__ == "__main__":
    main()
