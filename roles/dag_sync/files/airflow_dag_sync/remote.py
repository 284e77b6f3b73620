# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server has: one question each time."""

from __future__ import annotations

from airflow_dag_sync.errors import GitError, MisconfiguredError, UnreachableError
from airflow_dag_sync.git import Git
from airflow_dag_sync.text import summarize
from airflow_dag_sync.urls import FULL_SHA, SHORT_SHA, is_named, transport_options


def full_names(ref: str) -> list[str]:
    """List what a server may call the ref of a setting, that first which wins over the others."""
    if ref == "HEAD" or ref.startswith("refs/"):
        return [ref]
    # As `git switch` does: a branch before a tag of the same name.
    return [f"refs/heads/{ref}", f"refs/tags/{ref}"]


class Remote:
    """The repository that is followed, as its server shows it."""

    def __init__(self, git: Git, url: str) -> None:
        self.git = git
        self.url = url

    def resolve(self, ref: str) -> tuple[str, str | None]:
        """Ask which commit a ref is; return its sha and the full name of the ref.

        A ref that is a sha is returned without a question, and has no name.
        """
        if FULL_SHA.fullmatch(ref):
            return ref, None
        if "*" in ref or "?" in ref:
            return self.newest_tag(ref)
        names = full_names(ref)
        found = self.ask(*(pattern for name in names for pattern in (name, f"{name}^{{}}")))
        for name in names:
            # An annotated tag is an object of its own; its commit has the name with ^{}.
            if sha := found.get(f"{name}^{{}}", found.get(name)):
                return sha, name
        raise MisconfiguredError(f"{self.url} has no branch or tag {ref}{self.hint(ref)}")

    def hint(self, ref: str) -> str:
        """Say what may have been meant."""
        if SHORT_SHA.fullmatch(ref):
            return "; a commit takes all its 40 characters"
        branches = [name.removeprefix("refs/heads/") for name in self.ask("refs/heads/*")]
        return f"; it has {summarize(branches)}" if branches else "; it has no branch"

    def newest_tag(self, pattern: str) -> tuple[str, str]:
        """Ask for the last of the matching tags, in the order of versions."""
        found = self.ask(pattern, f"{pattern}^{{}}")
        tags = [name for name in found if is_named(name, pattern) and not name.endswith("^{}")]
        if not tags:
            raise MisconfiguredError(f"{self.url} has no tag that matches {pattern}")
        return found.get(f"{tags[-1]}^{{}}", found[tags[-1]]), tags[-1]

    def ask(self, *patterns: str) -> dict[str, str]:
        """List refs of the server and their objects, in the order of versions."""
        # A server has more than branches and tags; with these it sends no more than needed.
        kinds = {"refs/heads/": "--heads", "refs/tags/": "--tags"}
        limits = {
            next((kinds[kind] for kind in kinds if pattern.startswith(kind)), "")
            for pattern in patterns
        }
        options = [] if "" in limits else sorted(limits)
        where = (*transport_options(self.url), "--", self.url, *patterns)
        try:
            output = self.git("ls-remote", "--sort=version:refname", *options, *where)
        except GitError as error:
            raise UnreachableError(f"{self.url} cannot be read: {error}") from None
        refs = [line.split("\t", 1) for line in output.splitlines() if "\t" in line]
        if odd := next((sha for sha, _name in refs if not FULL_SHA.fullmatch(sha)), None):
            raise UnreachableError(f"{self.url} names {odd[:80]!r}, which is no sha-1")
        return {name: sha for sha, name in refs}
