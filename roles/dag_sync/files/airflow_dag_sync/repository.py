# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bare repository of this host: what is fetched into it, and whether it is sound."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from airflow_dag_sync.errors import (
    DamagedError,
    FetchError,
    GitError,
    MisconfiguredError,
    OutOfTimeError,
    UnreachableError,
)
from airflow_dag_sync.files import remove
from airflow_dag_sync.git import Git, mode_and_path, names_in
from airflow_dag_sync.urls import transport_options

ALL_HISTORY = "2147483647"  # what git takes for no limit, also to complete a shallow repository
SYMLINK = "120000"  # the mode in git's trees
# Files that say of others whether they are read, and how.
ABOUT_OTHERS = (".airflowignore", ".gitattributes")

# What `git init` writes; git obeys whatever else is in there.
CONFIGURATION = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
# What this program and git's tidying leave in the git directory, and in two folders of it.
OWN_ENTRIES = {
    "": {"HEAD", "config", "info", "objects", "packed-refs", "refs", "shallow",
         "gc.log", "gc.pid"},
    "info": {"refs"},
    "objects/info": {"commit-graph", "commit-graphs", "packs"},
}  # fmt: skip


class Repository:
    """One git directory that follows one URL."""

    def __init__(self, git: Git, directory: Path, url: str, depth: int) -> None:
        self.git = git.bound_to(directory)
        self.directory = directory
        self.url = url
        self.depth = depth
        # The refs that this run has fetched, and their commits.
        self.tips: dict[str, str] = {}

    def open(self) -> None:
        """Have a git directory of this program; raise DamagedError for one that is not.

        The account that it belongs to may have written anything into it, and git would run the
        programs that a configuration names.
        """
        if not os.path.lexists(self.directory):
            self.make()
        for folder, own in OWN_ENTRIES.items():
            require_own(self.directory / folder, own, optional=folder == "info")
        try:
            configuration = (self.directory / "config").read_text(errors="replace")
        except OSError as error:
            raise DamagedError(f"config: {error.strerror}") from None
        if configuration != CONFIGURATION:
            raise DamagedError("config is not the one that this program has written")

    def make(self) -> None:
        """Make an empty git directory."""
        self.git("init", "--quiet", "--bare", "--template=")
        (self.directory / "config").write_text(CONFIGURATION)

    def renew(self, aside: Path) -> None:
        """Make a new git directory in the place of this one, by way of a temporary name."""
        self.directory.replace(aside)
        remove(aside)
        self.tips.clear()
        self.make()

    def damage(self) -> str | None:
        """Say what is wrong with the git directory, if anything; to be asked after a failure.

        Nobody else is at it meanwhile, so a lock in it was left by a git that was killed.
        """
        try:
            self.open()
            if lock := next(iter(sorted(self.directory.rglob("*.lock"))), None):
                return f"a killed git left {lock.relative_to(self.directory)}"
            self.git("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
            packs = [str(path) for path in self.directory.glob("objects/pack/*.idx")]
            if packs:
                self.git("verify-pack", *packs)
        except OutOfTimeError:
            return None
        except GitError as error:
            return str(error)
        return None

    # What is fetched

    def obtain(self, sha: str, refname: str | None = None) -> str:
        """Have a commit here, or what the ref has become meanwhile; return its sha."""
        if not refname:
            self.obtain_commit(self.url, sha, "refs/sync/asked")
            return sha
        if self.tips.get(refname) == sha:
            return sha
        return self.fetch_tip(refname)

    def fetch_tip(self, refname: str) -> str:
        """Fetch what a ref of the server is now; return its commit."""
        self.fetch(self.url, f"+{refname}:refs/sync/tip")
        self.tips[refname] = self.git("rev-parse", "--verify", "refs/sync/tip^{commit}")
        return self.tips[refname]

    @property
    def is_complete(self) -> bool:
        """Whether a fetch without news leaves all as it is, as that of a shallow one does not."""
        return not self.depth and not (self.directory / "shallow").exists()

    def obtain_commit(self, url: str, sha: str, name: str) -> None:
        """Have a commit of a URL here; without network when it is."""
        if self.has(sha, "commit"):
            return
        # Not every server gives a commit by its sha; then the history that has it.
        with contextlib.suppress(UnreachableError):
            self.fetch(url, f"+{sha}:{name}")
        if not self.has(sha, "commit"):
            everything = (f"+refs/heads/*:{name}-heads/*", f"+refs/tags/*:{name}-tags/*")
            self.fetch(url, *everything, depth=0)
        if not self.has(sha, "commit"):
            raise MisconfiguredError(f"{url} has no commit {sha}")

    def has(self, sha: str, kind: str) -> bool:
        """Whether a commit or a tree needs no network."""
        try:
            self.git("cat-file", "-e", f"{sha}^{{{kind}}}")
        except GitError:
            return False
        return True

    def fetch(self, url: str, *refspecs: str, depth: int | None = None) -> None:
        """Fetch exactly these."""
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        depth = self.depth if depth is None else depth
        if depth:
            options.append(f"--depth={depth}")
        elif (self.directory / "shallow").exists():
            options.append(f"--depth={ALL_HISTORY}")
        try:
            self.git("fetch", *options, *transport_options(url), "--", url, *refspecs)
        except GitError as error:
            raise FetchError(f"{url} cannot be fetched: {error}") from None

    # What is kept

    def pin_objects(self, sha: str, tree: str) -> None:
        """Have git keep a release's objects as long as the release."""
        references = ((f"refs/sync/releases/{sha}", sha), (f"refs/sync/trees/{sha}", tree))
        commands = "".join(f"update {name} {value}\n" for name, value in references)
        self.git("update-ref", "--stdin", stdin=commands)

    def unpin_objects(self, shas: Iterable[str]) -> None:
        """Let git tidy up what only these releases needed."""
        names = [f"refs/sync/{kind}/{sha}" for sha in shas for kind in ("releases", "trees")]
        if commands := "".join(f"delete {name}\n" for name in names):
            self.git("update-ref", "--stdin", stdin=commands)
        self.git("gc", "--auto", "--quiet")

    def clear_temporary(self) -> None:
        """Remove what git had of a pack when it was killed or the disk was full."""
        for path in self.directory.glob("objects/*/tmp_*"):
            with contextlib.suppress(OSError):
                remove(path)

    # What has changed

    def paths_to_check(self, old: str, new: str) -> list[str] | None:
        """List the paths that a tree has otherwise than one that has passed, or in addition.

        And all links: where one leads depends on others. None stands for all paths.
        """
        options = ("-r", "-z", "--name-status", "--no-renames")
        listing = names_in(self.git("diff-tree", *options, old, new))
        changed = dict(zip(listing[1::2], listing[::2], strict=True))
        if any(path.rpartition("/")[2] in ABOUT_OTHERS for path in changed):
            return None
        listing = names_in(self.git("ls-tree", "-r", "-z", new))
        links = [path for mode, path in map(mode_and_path, listing) if mode == SYMLINK]
        return sorted({*(path for path, kind in changed.items() if kind != "D"), *links})


def require_own(folder: Path, own: set[str], *, optional: bool) -> None:
    """Raise DamagedError where a folder has what this program and its git do not make."""
    if optional and not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise DamagedError(f"{folder.name} is not a folder")
    for entry in folder.iterdir():
        # A killed git leaves these, which are no settings of anybody.
        name = entry.name.removesuffix(".lock").removesuffix(".new")
        if name not in own or entry.is_symlink():
            raise DamagedError(f"{folder.name}/{entry.name} was not made by this program")
