"""A DAG repository, whose files a test writes, and how `rax check` looks at it."""

import os
import subprocess
from pathlib import Path

import pytest

from rax.checking._project import Project

_WHO = ("-c", "user.name=An Author", "-c", "user.email=author@example.org")


class Repository:
    """A folder, which a test may make a repository of git."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, files):
        """Write files; None removes one."""
        for name, content in files.items():
            path = self.root / os.fsdecode(name)
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def git(self, *words):
        done = subprocess.run(
            ["git", *_WHO, *words], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self):
        """Commit all that there is, and return the commit."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A state")
        return self.git("rev-parse", "HEAD")

    def project(self, **options):
        return Project(self.root, **options)


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repository").mkdir()
    return Repository(tmp_path / "repository")
