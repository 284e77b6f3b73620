# SPDX-License-Identifier: Apache-2.0
"""The account of a case's PostgreSQL, which refuses to run as root, also as that of a namespace."""

import os
import pwd
from pathlib import Path
from typing import NamedTuple

from rax.errors import ServiceError

# It owns nothing else, so a server of its own has nothing else to give away.
_NAME = "nobody"
_ENTER = 0o011


class Account(NamedTuple):
    """Another account, which root starts a program as."""

    uid: int
    gid: int

    def make_folder(self, path: Path) -> None:
        """Make a folder that is this account's alone."""
        path.mkdir(0o700)
        try:
            os.chown(path, self.uid, self.gid)
        except OSError as error:
            raise ServiceError(
                f"PostgreSQL refuses to run as root, and here root cannot use the account {_NAME}"
                f" ({error.strerror}): start rax flow as another account"
            ) from None

    def let_in(self, folder: Path, last: Path) -> None:
        """Let this account pass through folders of root: this one, and those above it to the last.

        It passes through them to what is its own, and can list and read nothing on its way.

        :raises ServiceError: it cannot reach them, since it may not pass through one above the last
        """
        above = folder.resolve().parents
        for part in (folder.resolve(), *above):
            mode = part.stat().st_mode
            if mode & _ENTER == _ENTER:
                continue
            if not part.is_relative_to(last.resolve()):
                raise ServiceError(
                    f"PostgreSQL runs as {_NAME}, since it refuses root, and that account cannot"
                    f" enter {part}: set TMPDIR to a folder that all may enter, such as /tmp"
                )
            part.chmod(mode & 0o7777 | _ENTER)


def other_account() -> Account | None:
    """Return the account that has to run PostgreSQL, None where it is that of this process.

    :raises ServiceError: root has no other one, or this account has no name
    """
    if os.geteuid() != 0:
        _check_name(os.geteuid())
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError:
        raise ServiceError(
            f"PostgreSQL refuses to run as root, and there is no account {_NAME}: start rax flow as"
            " another account"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _check_name(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        # As in a container that is started with the user id of somebody outside.
        raise ServiceError(
            f"this account, the user id {uid}, has no name, and PostgreSQL wants one: add it to"
            " /etc/passwd"
        ) from None
