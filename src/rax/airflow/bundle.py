# SPDX-License-Identifier: Apache-2.0
"""A DAG bundle over the releases that airflow-dag-sync publishes.

Airflow loads it through ``[dag_processor] dag_bundle_config_list``::

    [{"name": "dags", "classpath": "rax.airflow.bundle.ReleaseBundle", "kwargs": {}}]

The DAG processor parses the release that is published and moves on with it. A DAG run is
pinned to the release it began with: each of its tasks, on any worker, takes its DAG, its
helpers (``util``, ``lib``) and its configs from there.
"""

import contextlib
import importlib
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

from rax._printable import one_line
from rax.airflow._pinned_releases import PinnedReleases
from rax.airflow._release_lock import SHA, ReleaseLock
from rax.errors import RaxError, ReleaseNotFoundError

log = logging.getLogger(__name__)

# How much of a version and of a command's outcome a message quotes.
_MAX_VERSION_CHARACTERS = 100
_MAX_OUTCOME_CHARACTERS = 500


class ReleaseBundle(BaseDagBundle):  # type: ignore[misc]  # Airflow is not here when types are checked
    """The published release, or the one whose sha is the bundle's version.

    :param link: the published link; the releases are ``.<its name>/releases`` beside it
    :param sync_command: the program that fetches a missing release: ``sync_command fetch SHA``
    :param dags_folder: where a release keeps its DAGs, as the sync has it in ``dags_folder``: a
        folder of the repository, or ``.`` for its root
    :param fetch_timeout: how many seconds a task waits for a missing release
    """

    supports_versioning = True

    def __init__(
        self,
        *,
        link: str = "/home/airflow/airflow-git-dir",
        sync_command: str = "/usr/local/bin/airflow-dag-sync",
        dags_folder: str = "dags",
        fetch_timeout: float = 60,
        **kwargs: Any,
    ) -> None:
        """Look at no file: Airflow makes bundles where their files are not, too."""
        super().__init__(**kwargs)
        self._link = Path(link)
        self._releases = self._link.with_name(f".{self._link.name}") / "releases"
        self._sync_command = sync_command
        self._dags_folder = self._inside(dags_folder)
        self._fetch_timeout = fetch_timeout
        self._release: Path | None = None
        self._lock: ReleaseLock | None = None
        self._pinned = PinnedReleases(self.name, self._releases)

    def initialize(self) -> None:
        """Hold the release, which may have to be fetched, and switch this process to it."""
        if self.version is None:
            self._follow()
        else:
            self._pin(self.version)
        super().initialize()

    def refresh(self) -> None:
        """Move on to the release that is published now, and keep those that runs are pinned to.

        Airflow calls this in the manager of the DAG processor alone.
        """
        if self.version is not None:
            raise RaxError(f"bundle {self.name} is pinned to {self.version}: it has no newer one")
        # This comes first, while the release that was followed until now is still locked.
        self._pinned.update()
        self._follow()

    def get_current_version(self) -> BundleVersion:
        """Return the sha that this bundle reads."""
        return BundleVersion(version=self.version or (self._release or self._published()).name)

    @property
    def path(self) -> Path:
        """The folder that is searched for DAGs: configs and tests are outside of it."""
        release = self._release
        if release is None:
            release = self._named(self.version) if self.version else self._link.resolve()
        return release / self._dags_folder

    def _follow(self) -> None:
        release = self._published()
        if release == self._release:
            return
        # The release that was read until now is let go when the next one is held.
        while not self._hold(release):
            release = self._published()
        _enter(release, following=True)

    def _pin(self, version: str) -> None:
        release = self._named(version)
        if not self._hold(release):
            self._fetch(release)
        # The sync keeps those releases that were used last.
        with contextlib.suppress(OSError):
            os.utime(release)
        _enter(release, following=False)

    def _inside(self, dags_folder: str) -> Path:
        """Return the setting as a path that stays in a release."""
        folder = Path(dags_folder)
        if not dags_folder or folder.is_absolute() or ".." in folder.parts:
            raise RaxError(
                f"dags_folder of bundle {self.name} is {dags_folder!r}: give a folder of the "
                "repository, such as 'airflow/dags', or '.' for its root"
            )
        return folder

    def _named(self, version: str) -> Path:
        """Return the release of a version, which is a commit's name and no path."""
        if not SHA.fullmatch(version):
            shown = one_line(version, _MAX_VERSION_CHARACTERS)
            raise ReleaseNotFoundError(
                f"release {shown} of bundle {self.name} is not on {socket.gethostname()}: this is "
                "not the full sha of a commit"
            )
        return self._releases.resolve() / version

    def _published(self) -> Path:
        release = self._link.resolve()
        known = release.parent == self._releases.resolve() and SHA.fullmatch(release.name)
        if not known or not release.is_dir():
            raise ReleaseNotFoundError(
                f"{self._link} on {socket.gethostname()} does not lead to a release in "
                f"{self._releases}: run {self._sync_command}"
            )
        return release

    def _hold(self, release: Path) -> bool:
        """Lock the release, if it is there, in place of the one that was held until now."""
        lock = ReleaseLock.take(release)
        if lock is None:
            return False
        # A repository may hold any link, and what it leads to would be run as DAGs.
        dags = os.path.realpath(release / self._dags_folder)
        if not Path(dags).is_relative_to(os.path.realpath(release)):
            raise RaxError(
                f"{release / self._dags_folder}: is a link that leads out of the release"
            )
        self._lock, self._release = lock, release
        return True

    def _fetch(self, release: Path) -> None:
        problem = f"release {release.name} of bundle {self.name} is not on {socket.gethostname()}"
        log.info("Fetching release %s with %s", release.name, self._sync_command)
        failed, outcome = _run([self._sync_command, "fetch", release.name], self._fetch_timeout)
        if not self._hold(release):
            if not failed:
                outcome = f"{self._sync_command} has not brought it to {release.parent}"
            raise ReleaseNotFoundError(f"{problem}, and fetching it failed: {outcome}")
        log.info("%s: %s", self._sync_command, outcome)


def _run(command: list[str], timeout: float) -> tuple[bool, str]:
    """Run the command, and return whether it failed, and why, or else what it said last."""
    try:
        process = subprocess.run(  # noqa: S603 - no shell; a setting, and a checked sha
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        return True, f"{command[0]}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return True, f"{command[0]} took longer than {timeout:g} s"
    last = process.stdout.strip().rpartition("\n")[2] or "no output"
    last = one_line(last, _MAX_OUTCOME_CHARACTERS)
    if process.returncode == 0:
        return False, last
    return True, f"{command[0]} exited with {process.returncode}: {last}"


_entered: Path | None = None
_follower: int | None = None


def _enter(release: Path, *, following: bool) -> None:
    """Switch this process, and the children it forks, to the release.

    The DAG processor pins a bundle to an older release when a run of that release has a
    callback to call. That must not switch the processor itself, whose children go on parsing
    what is published: such a callback gets its own DAG file, and published helpers and configs.
    """
    global _entered, _follower
    if following:
        _follower = os.getpid()
    elif _follower == os.getpid():
        return
    if _entered is not None and _entered != release:
        sys.path[:] = [entry for entry in sys.path if entry != str(_entered)]
        for name, module in list(sys.modules.items()):
            if _is_from(module, _entered):
                del sys.modules[name]
        importlib.invalidate_caches()
    # At the end, so that nothing in a repository replaces a module of Airflow or of Python.
    if str(release) not in sys.path:
        sys.path.append(str(release))
    os.environ["RAX_RELEASE_DIR"] = str(release)
    # A release stays as it was published, without a __pycache__ in it.
    sys.dont_write_bytecode = True
    _entered = release


def _is_from(module: ModuleType, root: Path) -> bool:
    # By vars(), since asking some lazy modules for an attribute imports more of them.
    names = vars(module)
    places = [names.get("__file__") or "", *(names.get("__path__") or [])]
    return any(str(place).startswith(f"{root}{os.sep}") for place in places)
