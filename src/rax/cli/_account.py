# SPDX-License-Identifier: Apache-2.0
"""The account that the commands look as: the one that runs the tasks."""

import os
import pwd

from rax.errors import CommandError

_DEFAULT_ACCOUNT = "airflow"


def account_of_tasks() -> pwd.struct_passwd | None:
    """Return the account that root's commands look as; None where it is this one already.

    It is ``airflow``, or the one that ``RAX_ACCOUNT`` names.

    :raises CommandError: there is no such account as ``RAX_ACCOUNT`` names
    """
    if os.geteuid() != 0:
        return None
    named = os.environ.get("RAX_ACCOUNT")
    try:
        account = pwd.getpwnam(named or _DEFAULT_ACCOUNT)
    except KeyError:
        if named:
            raise CommandError(
                f"RAX_ACCOUNT: there is no account {named!r} on this machine"
            ) from None
        return None
    return account if account.pw_uid != 0 else None


def leave_root() -> None:
    """Become the account of the tasks if this is root and there is one.

    What a command then says is true of the tasks, which root's rights would hide, and it leaves no
    file of root's in their folders. Where the account is ``root``, nothing changes.

    :raises CommandError: there is no such account as ``RAX_ACCOUNT`` names
    """
    account = account_of_tasks()
    if account is None:
        return
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    # The spool of the alerts is in the account's home, unless another place is set.
    os.environ["HOME"] = account.pw_dir
    os.environ.pop("XDG_STATE_HOME", None)


def current() -> str:
    """Return the name of this process's account, or its number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
