# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends a run, each kind with its exit code."""

from __future__ import annotations

from airflow_dag_sync.text import without_userinfo

EXIT_CODES = """\
exit codes:
  0  done, nothing to do, or another run is at work
  1  failed on this host (the message says where)
  2  misconfigured: an argument, a setting, or a ref or commit that the repository lacks
  3  the repository cannot be reached or read, or the time-out is over
  4  blocked: the commit does not pass the gate, or nobody allowed has signed it. The last good
     release stays. Cron does not try the same commit again, a run without --splay does.
"""


class SyncError(Exception):
    """The root of all errors; its message is for a person and names nothing secret."""

    code = 1
    reported_recently = False

    def __init__(self, message: str) -> None:
        super().__init__(without_userinfo(message))

    @property
    def log_line(self) -> str:
        """The line that ends the run."""
        return f"failed: {self}"


class MisconfiguredError(SyncError):
    """An argument, a setting or a ref is wrong."""

    code = 2


class UnreachableError(SyncError):
    """The repository does not answer, or does not give what it promised."""

    code = 3


class FetchError(UnreachableError):
    """A fetch has failed: because of the server, or of what is in the way here."""


class OutOfTimeError(SyncError):
    """The time of the whole run is over."""

    code = 3


class BlockedError(SyncError):
    """A commit must not be published; only another commit, or other settings, change that."""

    code = 4

    def __init__(self, sha: str, reason: str) -> None:
        super().__init__(reason)
        self.sha = sha

    @property
    def log_line(self) -> str:
        """The line that ends the run."""
        return f"blocked {self.sha}: {self}"


class PostponedError(SyncError):
    """A release could not be made a moment ago, and cron tries again later."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class BusyError(SyncError):
    """Another run is at work."""


class GitError(SyncError):
    """A git command ended with an error."""


class DamagedError(GitError):
    """The repository on this host is not what this program has made."""


def as_sync_error(error: OSError | SyncError) -> SyncError:
    """Put an error of the system into words."""
    if isinstance(error, SyncError):
        return error
    return SyncError(": ".join(str(part) for part in (error.filename, error.strerror) if part))
