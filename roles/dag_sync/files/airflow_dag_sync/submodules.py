# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories inside the repository: their trees become part of the release's."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_dag_sync.errors import BlockedError, GitError, UnreachableError
from airflow_dag_sync.files import temporary
from airflow_dag_sync.git import Git, names_in
from airflow_dag_sync.repository import Repository
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.urls import URL, URL_WITH_PASSWORD, is_local, is_over_ssh, join_url

MAX_LEVELS = 10
WAY_OUT = "dag_sync_submodules: false leaves the folders of all submodules empty"
GITLINK = "160000"  # the mode in git's trees


@dataclass
class Submodules:
    """Builds the tree of one release; `warnings` says what it leaves empty."""

    repository: Repository
    settings: Settings
    release: str
    root: Path
    warnings: list[str] = field(default_factory=list)

    def tree(self) -> str:
        """Return the tree of the release's commit with the trees of its submodules in it.

        Raises BlockedError for a URL that must not be followed.
        """
        return self._tree(self.repository.url, self.release, 0)

    def _tree(self, url: str, sha: str, level: int) -> str:
        git = self.repository.git
        tree = git("rev-parse", "--verify", f"{sha}^{{tree}}")
        if not self.settings.submodules:
            return tree
        listing = names_in(git("ls-tree", "-r", "-z", tree))
        links = [line.partition("\t") for line in listing if line.startswith(GITLINK)]
        if not links:
            return tree
        if level == MAX_LEVELS:
            raise BlockedError(self.release, f"its submodules are more than {level} levels deep")
        urls = submodule_urls(git, tree)
        # update-index wants a work tree, and looks at none here.
        where: dict[str, Any] = {"GIT_INDEX_FILE": temporary(self.root), "GIT_WORK_TREE": self.root}
        git("read-tree", tree, **where)
        for mode_and_object, _tab, path in links:
            if path not in urls:
                self.warnings.append(
                    f"{path} is a submodule without a URL in .gitmodules: it is empty"
                )
                continue
            commit = mode_and_object.split()[2]
            theirs = join_url(url, urls[path])
            self._require_trusted(path, url, theirs)
            name = f"refs/sync/submodules/{zlib.crc32(theirs.encode()):08x}"
            try:
                self.repository.obtain_commit(theirs, commit, name)
            except UnreachableError as error:
                raise type(error)(f"its submodule {path}: {error} ({WAY_OUT})") from error
            inner = self._tree(theirs, commit, level + 1)
            git("update-index", "-z", "--index-info", stdin=f"0 {'0' * 40}\t{path}\0", **where)
            git("read-tree", f"--prefix={path}/", inner, **where)
        return git("write-tree", **where)

    def _require_trusted(self, path: str, url: str, theirs: str) -> None:
        """Refuse the URL of a submodule that an author of DAGs must not choose."""
        trusted = URL.fullmatch(theirs) and not URL_WITH_PASSWORD.match(theirs)
        # A path or file:// would be one of this host.
        if not trusted or (is_local(theirs) and not is_local(url)):
            what = f"the URL {theirs}, which is not supported" if theirs else "no URL"
            raise BlockedError(self.release, f"its submodule {path} has {what} in .gitmodules")
        if is_over_ssh(theirs) and not (self.settings.private_key and self.settings.known_hosts):
            raise BlockedError(
                self.release,
                f"its submodule {path} needs 'private_key' and 'known_hosts' ({theirs})",
            )


def submodule_urls(git: Git, tree: str) -> dict[str, str]:
    """Read .gitmodules: the URL of each path, which may be empty."""
    try:
        listing = names_in(git("config", "--blob", f"{tree}:.gitmodules", "-z", "--list"))
    except GitError:
        return {}
    values = dict(entry.partition("\n")[::2] for entry in listing)
    return {
        path: values.get(key.removesuffix(".path") + ".url", "")
        for key, path in values.items()
        if key.startswith("submodule.") and key.endswith(".path")
    }
