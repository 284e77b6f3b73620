# SPDX-License-Identifier: Apache-2.0
"""The repository under check: its files, and which of them the check is about."""

import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rax._git import git
from rax.checking._finding import Finding
from rax.checking._reading import read_file
from rax.checking._settings import Settings
from rax.errors import CommandError

if TYPE_CHECKING:
    from rax.checking._dags._answers import Dag

# What pytest takes for tests.
TESTS = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test)\.py")


class Project:
    """A DAG repository, as the stages look at it.

    Looked at are the regular files that git has or would take, and nothing that a link has outside
    of the folder; where there is no git, all files but those of hidden folders and environments.

    :param root: its folder
    :param since: a commit; findings are then about what differs from it
    :param gate: whether this is a release of a node, which has no git of its own
    :param unittest: whether unittest has to find the tests that pytest finds
    :raises CommandError: there is no such folder, or no such commit, or git cannot tell; or what
        Settings.read() raises
    """

    def __init__(
        self, root: Path, *, since: str | None = None, gate: bool = False, unittest: bool = False
    ) -> None:
        self.root = root.resolve()
        if not self.root.is_dir():
            raise CommandError(f"{root} is no folder")
        self.gate = gate
        self.unittest = unittest
        # What the stages before the one that runs have found.
        self.found: list[Finding] = []
        # The DAGs that the stage of the DAGs has loaded, each with its file: those that are asked
        # for. None where it has not run.
        self.dags: list[tuple[str, Dag]] | None = None
        # The files of DAGs that it could not load, whose DAGs nobody knows.
        self.unloaded: set[str] = set()
        self.settings = Settings.read(self.root)
        self._in_git = not gate and any(
            (folder / ".git").exists() for folder in (self.root, *self.root.parents)
        )
        if since is not None and not self._in_git:
            raise CommandError(f"{root} is in no repository of git, which --since asks")
        listed = _listed(self.root) if self._in_git else []
        # Git lists nothing of a folder that it ignores as a whole.
        self.files = tuple(sorted(self._regular(listed or _walked(self.root))))
        self.changed = None if since is None else frozenset(_changed(self.root, since))

    @cached_property
    def python_files(self) -> tuple[str, ...]:
        """The files of Python."""
        return tuple(file for file in self.files if file.endswith(".py"))

    @cached_property
    def prefix(self) -> str:
        """Where the root is in its repository of git, such as ``dags/``; nothing for all of it."""
        found = _git(self.root, "rev-parse", "--show-prefix") if self._in_git else []
        return found[0].removesuffix("\n") if found else ""

    def is_asked(self, file: str) -> bool:
        """Return whether findings about a file alone are wanted."""
        return self.changed is None or file in self.changed

    def read(self, file: str) -> bytes:
        """Return what is in a file.

        :raises UnreadableError, FileNotFoundError: what read_file() raises
        """
        return read_file(self.root, file)

    def _regular(self, names: Iterable[str]) -> Iterator[str]:
        for name in set(names):
            try:
                resolved = (self.root / name).resolve(strict=True)
                regular = resolved.is_file() and resolved.is_relative_to(self.root)
            except (OSError, RuntimeError):
                # It has been removed, and git knows it still; or it is a link to itself.
                continue
            if regular:
                yield name


def _listed(root: Path) -> list[str]:
    return _git(root, "ls-files", "-co", "--exclude-standard", "-z")


def _changed(root: Path, since: str) -> list[str]:
    """Return the files that differ from a commit, also those that git does not follow yet."""
    asked = f"{since}^{{commit}}"
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", asked)
    if not commit:
        raise CommandError(f"--since: there is no commit {since!r}: fetch it, or name another")
    known = _git(root, "diff", "--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z",
                 commit[0].strip(), "--")  # fmt: skip
    return known + _git(root, "ls-files", "-o", "--exclude-standard", "-z")


def _git(root: Path, *words: str) -> list[str]:
    """Return what git prints, split at NUL; nothing where it quietly says no."""
    done = git(root, *words)
    if done.returncode == 1 and "--quiet" in words:
        return []
    if done.returncode:
        said = os.fsdecode(done.stderr).strip() or f"it ended with {done.returncode}"
        raise CommandError(f"git {words[0]} in {root}: {said}")
    return [name for name in os.fsdecode(done.stdout).split("\0") if name]


def _walked(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in ("__pycache__", "node_modules")
            and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        for name in files:
            yield os.path.relpath(Path(folder, name), root)
