# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that may be published: here, whole, signed, and through the gate."""

from __future__ import annotations

import contextlib
import syslog
from dataclasses import dataclass

from airflow_dag_sync import checkout
from airflow_dag_sync.check_files import all_paths, is_excluded
from airflow_dag_sync.checkout import fingerprint
from airflow_dag_sync.content_filters import content_problem
from airflow_dag_sync.errors import BlockedError, GitError
from airflow_dag_sync.files import locked, temporary
from airflow_dag_sync.gate import Gate
from airflow_dag_sync.processes import Deadline
from airflow_dag_sync.releases import Releases
from airflow_dag_sync.repository import Repository
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.signatures import require_signature, signers_fingerprint
from airflow_dag_sync.state import Release, State
from airflow_dag_sync.submodules import Submodules
from airflow_dag_sync.text import Say


@dataclass
class ReleaseBuilder:
    """Makes releases, makes them whole again, and judges them; the state knows what it found."""

    settings: Settings
    repository: Repository
    releases: Releases
    state: State
    deadline: Deadline
    say: Say

    def __post_init__(self) -> None:
        self.root = self.releases.root
        self.gate = Gate(self.settings)
        # What the server calls the ref that is followed.
        self.refname: str | None = None

    def repository_locked(self, *, wait: bool = True) -> contextlib.AbstractContextManager[None]:
        """Be the only one who changes the repository and makes releases."""
        return locked(self.root / "repository.lock", self.deadline.at if wait else 0)

    def fetch_tip(self, refname: str) -> str:
        """Have what a ref is now, unless that needs to wait; return its commit."""
        with self.repository_locked(wait=False):
            self.repository.open()
            return self.repository.fetch_tip(refname)

    def ensure(self, sha: str, refname: str | None = None) -> tuple[str, bool]:
        """Have the release of a commit, or of what the ref has become meanwhile.

        Returns its sha, and whether no other run has made it meanwhile.
        """
        with self.repository_locked():
            if not refname and self.releases.has(sha):
                return sha, False
            self.repository.open()
            commit = self.repository.obtain(sha, refname)
            tag = self.verify(commit, refname) if self.settings.signed else None
            signed = [signers_fingerprint(self.settings), tag]
            made = self.submodules(commit)
            known = Release(made.tree(), signed=signed, warnings=made.warnings)
            tree = known.tree or ""
            self.repository.pin_objects(commit, tree)
            if is_new := not self.releases.has(commit):
                path = self.releases.path(commit)
                known.fingerprint = checkout.check_out(self.repository.git, tree, path)
            self.state.releases[commit] = known
            return commit, is_new

    def submodules(self, sha: str) -> Submodules:
        """Return what builds the tree of a release."""
        return Submodules(self.repository, self.settings, sha, self.root)

    def repair(self, sha: str, *, now: str | None = None, tell: bool = True) -> None:
        """Make good what somebody has changed in a release, whose fingerprint is this now."""
        path, known = self.releases.path(sha), self.state.release(sha)
        if known.fingerprint and known.fingerprint == (now or fingerprint(path)):
            return
        with self.repository_locked():
            self.repository.open()
            if not known.tree or not self.repository.has(known.tree, "tree"):
                self.repository.obtain(sha)
                made = self.submodules(sha)
                known.tree, known.warnings = made.tree(), made.warnings
                self.repository.pin_objects(sha, known.tree)
            found = checkout.repair(self.repository.git, known.tree, path)
        known.fingerprint = fingerprint(path)
        if found and tell:
            self.state.repairs += 1
            self.say(f"repaired {sha}: {found}", syslog.LOG_WARNING)

    def require_signature(self, sha: str) -> None:
        """Refuse a release that came here under other terms and is signed by nobody allowed."""
        if not self.settings.signed:
            return
        known, signers = self.state.release(sha), signers_fingerprint(self.settings)
        before, tag = known.signed or (None, None)
        # What a tag alone vouches for is published under that tag alone, or by a person.
        if before == signers and (not tag or tag == self.refname or self.state.pinned == sha):
            return
        with self.repository_locked():
            self.repository.open()
            self.repository.obtain(sha)
            known.signed = [signers, self.verify(sha, self.refname)]

    def verify(self, sha: str, refname: str | None) -> str | None:
        """Ask git and gpg who has signed a commit; return the ref of a tag that alone is signed."""
        home = temporary(self.root)
        return require_signature(self.repository, self.settings, sha, refname, home)

    def require_gate(self, sha: str) -> None:
        """Refuse a release that does not pass the gate."""
        terms, known = self.gate.terms(), self.state.release(sha)
        # What passed once and is pinned by a person passes.
        if known.gate == terms or (known.gate and self.state.pinned == sha):
            return
        release, paths = self.releases.path(sha), self.paths_to_check(sha)
        try:
            self.require_content(sha, paths)
            with self.deadline.stopped():
                known.gate_warnings = self.gate.check(release, paths, temporary(self.root))
        except BlockedError:
            if sha != self.releases.published():
                self.releases.remove(release)
            raise
        known.gate = terms
        if self.settings.gate_command:
            # It runs in the release, and may have left something there.
            self.repair(sha, tell=False)

    def require_content(self, sha: str, paths: list[str] | None) -> None:
        """Refuse a release with files that are there as what stands for their content."""
        release, patterns = self.releases.path(sha), self.settings.gate_exclude
        found = all_paths(release) if paths is None else paths
        checked = [path for path in found if not is_excluded(path, patterns)]
        with self.repository_locked():
            self.repository.open()
            if problem := content_problem(self.repository.git, release, checked):
                raise BlockedError(sha, problem)

    def paths_to_check(self, sha: str) -> list[str] | None:
        """List the paths that the published release, which has passed, does not have; None: all."""
        published = self.state.release(self.releases.published())
        tree = self.state.release(sha).tree
        if published.gate != self.gate.terms() or not published.tree or not tree:
            return None
        try:
            with self.repository_locked():
                self.repository.open()
                return self.repository.paths_to_check(published.tree, tree)
        except GitError:
            return None

    def terms(self) -> list[object]:
        """Name all that decides whether a commit is published."""
        # Another tag of the same commit may be signed.
        signers = signers_fingerprint(self.settings)
        return [self.refname, signers, self.settings.submodules, *self.gate.terms()]
