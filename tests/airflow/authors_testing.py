"""The environment of authors, made of this very checkout by ./rax, for tests that start ./rax."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WRAPPER = ROOT / "src/rax/templates/repository/rax"


@dataclass(frozen=True)
class Authors:
    """What a test needs to start ./rax without making an environment, and without a network.

    `pin` is the text of a rax.toml, `environ` the variables to start ./rax with, `commit` what the
    environment is made of: this checkout with its changes, but for files that git does not know.
    """

    pin: str
    environ: dict[str, str]
    commit: str

    @property
    def cache(self) -> Path:
        """The folder in which ./rax has what it makes."""
        return Path(self.environ["XDG_CACHE_HOME"], "rax")

    def add_repository(self, folder: Path) -> Path:
        """Make a DAG repository in a new folder, which has nothing but the wrapper and its pin."""
        folder.mkdir(parents=True)
        shutil.copy(WRAPPER, folder / "rax")
        (folder / "rax.toml").write_text(self.pin)
        return folder


def commit_of_checkout():
    """Return a commit of the files as they are; no branch and no stash names it."""
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    for command in (("stash", "create"), ("rev-parse", "HEAD")):
        found = subprocess.run(
            ["git", "-C", ROOT, *identity, *command], capture_output=True, text=True, check=True
        ).stdout.strip()
        if found:
            break
    return found


@pytest.fixture(scope="session")
def authors(tmp_path_factory):
    """Return it; made once for all tests of the process, in 3 s of processor time."""
    folder = tmp_path_factory.mktemp("authors")
    version = "{}.{}".format(*sys.version_info)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    environ = {
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LC_ALL": "C.UTF-8",
        # scripts/test has filled it when it made .venv-airflow.
        "UV_CACHE_DIR": f"{caches}/caspian-deploy/uv",
        "UV_OFFLINE": "1",
    }
    commit = commit_of_checkout()
    pin = f'[deployment]\nrepository = "{ROOT}"\nref = "{commit}"\npython = "{version}"\n'
    made = Authors(pin, environ, commit)
    program = made.add_repository(folder / "first") / "rax"
    ended = subprocess.run(
        [program, "--version"], env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return made
