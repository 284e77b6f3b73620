# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository for the layout rules, and broken ones to prove that the rules can fail."""

import subprocess
from pathlib import Path

import pytest

from tests.repo.tree import Link, Runnable, Tree

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Tree:
    """This repository: what git has, and what it would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return Tree(ROOT, [Path(name) for name in listed.split("\0") if name])


@pytest.fixture
def make_tree(tmp_path):
    """Return a function that makes a repository of {path: text}."""

    def make(files: dict[str, str]) -> Tree:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, Link):
                file.symlink_to(text)
                continue
            file.write_text(text)
            file.chmod(0o755 if isinstance(text, Runnable) else 0o644)
        return Tree(tmp_path, [Path(name) for name in files])

    return make
