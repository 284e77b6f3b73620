"""The hook for pre-commit, as pre-commit runs it: in the root of a DAG repository."""

import re
import shlex
import subprocess
from pathlib import Path

import yaml

HOOKS = Path(__file__).parents[4] / ".pre-commit-hooks.yaml"
# Of https://pre-commit.com/#creating-new-hooks, what may be there and is used.
KEYS = {
    "id",
    "name",
    "description",
    "entry",
    "language",
    "pass_filenames",
    "require_serial",
    "files",
}


def test_the_hook_runs_the_repository_s_own_rax(repository):
    """No name of a file is given to it; a red check refuses the commit."""
    (hook,) = yaml.safe_load(HOOKS.read_text())
    assert hook.keys() == KEYS
    # A program of this machine: nothing is installed, and so no network is needed.
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    repository.write({"rax": '#!/bin/sh\necho "$@"; exit 1\n'})
    (repository.root / "rax").chmod(0o755)
    done = subprocess.run(
        shlex.split(hook["entry"]), cwd=repository.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "check --fast\n")


def test_what_it_looks_at():
    (hook,) = yaml.safe_load(HOOKS.read_text())
    asked = re.compile(hook["files"]).search
    assert all(map(asked, ["dags/a.py", "configs/x/a.yaml", "rax.toml", "credentials.txt"]))
    assert not any(map(asked, ["README.md", "dags/a.sql", "docs/credentials.txt", "x.pyc"]))
