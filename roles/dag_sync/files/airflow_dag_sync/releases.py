# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of this host, and the link that readers follow.

LINK -> .LINK/releases/<sha>       what readers follow, once, and then stay on
.LINK/releases/<sha>/              a plain tree; under this name it is complete
.LINK/repository.git/              git's own, made anew when damaged
.LINK/{state.json,last_success}
.LINK/lock                         who publishes; .LINK/repository.lock: who brings a release
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from airflow_dag_sync.errors import MisconfiguredError
from airflow_dag_sync.files import clear_temporary, fsync_directory, temporary
from airflow_dag_sync.urls import FULL_SHA, is_sha


class Releases:
    """The folders of the releases; each has its name only when it is complete."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.root = link.with_name(f".{link.name}")
        self.folder = self.root / "releases"
        self.last_success = self.root / "last_success"

    def path(self, sha: str) -> Path:
        """Return the folder of a release."""
        return self.folder / sha

    def has(self, sha: str | None) -> bool:
        """Whether a release is here."""
        return sha is not None and is_sha(sha) and self.path(sha).is_dir()

    def published(self) -> str | None:
        """Return the sha that readers get; None where the link leads to no whole release."""
        try:
            target = self.link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise MisconfiguredError(f"{self.link} is not a link: move it away") from None
        whole = is_sha(target.name) and target == self.target(target.name)
        return target.name if whole and self.link.is_dir() else None

    def published_since(self) -> float | None:
        """Return when the link was flipped last."""
        return self.link.lstat().st_mtime if self.published() else None

    def target(self, sha: str) -> Path:
        """Return what the link holds: relative, so that the whole may be mounted elsewhere."""
        return Path(self.root.name, self.folder.name, sha)

    def by_age(self) -> list[Path]:
        """List the releases, the one used last first."""
        with contextlib.suppress(FileNotFoundError):
            found = [path for path in self.folder.iterdir() if FULL_SHA.fullmatch(path.name)]
            return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
        return []

    def succeeded(self) -> float | None:
        """Return when the last sync succeeded."""
        try:
            return self.last_success.stat().st_mtime
        except FileNotFoundError:
            return None

    def use(self, sha: str) -> bool:
        """Count the age of a release from now; return whether it is here."""
        try:
            os.utime(self.path(sha))
        except FileNotFoundError:
            return False
        return True

    def flip(self, sha: str) -> None:
        """Point the link at a release."""
        previous, now = self.published(), time.time()
        if previous and previous != sha:
            # The system's own "now" may be the same for both.
            os.utime(self.path(previous), (now - 0.001, now - 0.001))
        os.utime(self.path(sha), (now, now))
        link = temporary(self.link.parent, self.root.name)
        link.symlink_to(self.target(sha))
        link.replace(self.link)
        fsync_directory(self.link.parent)

    def remove(self, release: Path) -> bool:
        """Remove a release unless a reader holds it; return whether it is gone."""
        descriptor = os.open(release, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            release.replace(temporary(self.folder))
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def prune(self, keep: int, keep_days: int) -> list[tuple[str, int]]:
        """Remove releases beyond the count, older than the retention, and held by no reader.

        Returns their names, and how many days ago each was used last.
        """
        published, removed = self.published(), []
        others = [release for release in self.by_age() if release.name != published]
        for release in others[keep - 1 :]:
            days = (time.time() - release.stat().st_mtime) / 86400
            if days < 0:
                os.utime(release)  # The clock has jumped back: else it would stay for ever.
            elif days > keep_days and self.remove(release):
                removed.append((release.name, round(days)))
        return removed

    def clear_temporary(self) -> None:
        """Remove everything temporary of this run and of killed ones."""
        clear_temporary(self.root)
        clear_temporary(self.folder)
        clear_temporary(self.link.parent, self.root.name)
