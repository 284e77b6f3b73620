"""A remote repository and a node, both real; the program runs as cron runs it."""

import importlib.util
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[3] / "roles/dag_sync"
PROGRAM = ROLE / "files/airflow_dag_sync.py"


@pytest.fixture(scope="session")
def program():
    """Return the program as a module."""
    spec = importlib.util.spec_from_file_location("airflow_dag_sync", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


class Remote:
    """A bare repository, and the files that its next commit has."""

    def __init__(self, path):
        self.path = path / "remote.git"
        self.files = path / "files"
        self.files.mkdir()
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", self.path], check=True)

    def git(self, *arguments):
        environment = os.environ | {
            "GIT_DIR": str(self.path),
            "GIT_WORK_TREE": str(self.files),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER")
               for what in ("NAME", "EMAIL")},
        }  # fmt: skip
        return subprocess.run(
            ["git", *arguments], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, content, branch="main"):
        """Commit dags/a.py and configs/a.yaml with this content; return the sha."""
        for name in ("dags/a.py", "configs/a.yaml"):
            file = self.files / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{content}\n")
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", content)
        return self.git("rev-parse", "HEAD")


class Node:
    """A home with its settings file."""

    def __init__(self, path, repository):
        self.home = path / "home"
        self.home.mkdir()
        self.link = self.home / "airflow-git-dir"
        self.root = self.home / ".airflow-git-dir"
        self.releases = self.root / "releases"
        self.repository = self.root / "repository.git"
        self.settings_file = path / "dag_sync.json"
        self.bin = path / "bin"
        self.environment = {}
        self.settings = {
            "repository": str(repository),
            "ref": "main",
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "link": str(self.link),
            "private_key": "",
            "known_hosts": "",
            "splay_seconds": 0,
            "timeout_seconds": 20,
            "keep_releases": 3,
            "keep_days": 7,
        }

    def start(self, *arguments, driver=(PROGRAM,), **options):
        self.settings_file.write_text(json.dumps(self.settings))
        return subprocess.Popen(
            [sys.executable, "-IS", *driver, "--settings", self.settings_file, *arguments],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments, code=0, **options):
        """Run the program to its end and return what it said."""
        process = self.start(*arguments, **options)
        output = "".join(process.communicate(timeout=60))
        assert process.returncode == code, output
        assert "Traceback" not in output
        return output

    def wrap(self, name, script):
        """Put a command of our own before the system's."""
        self.bin.mkdir(exist_ok=True)
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def over_ssh(self, remote, script='exec sh -c "$command"'):
        """Reach the remote through an ssh that notes its arguments and serves it here."""
        noted = self.home.parent / "ssh-arguments"
        take_last = 'for command in "$@"; do :; done'
        self.wrap("ssh", f'printf "%s\\n" "$@" >{noted}\n{take_last}\n{script}')
        self.settings |= {
            "repository": f"ssh://git@host.invalid{remote.path}",
            "private_key": "/etc/airflow/dag_sync/id",
            "known_hosts": "/etc/airflow/dag_sync/known_hosts",
        }
        return noted

    @property
    def published(self):
        """The sha that readers get, after a look at the whole of it."""
        target = self.link.readlink()
        assert target == Path(".airflow-git-dir/releases", target.name)
        return target.name

    @property
    def content(self):
        return (self.link / "dags/a.py").read_text().strip()

    @property
    def status(self):
        return json.loads(self.run("status"))

    @property
    def leftovers(self):
        return [str(path) for path in self.home.rglob("*.tmp")]

    def age(self, sha, days):
        """Let a release have been published last so long ago."""
        then = (self.releases / sha).stat().st_mtime - days * 86400
        os.utime(self.releases / sha, (then, then))


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path)


@pytest.fixture
def node(tmp_path, remote):
    return Node(tmp_path, remote.path)


@pytest.fixture
def first(remote, node):
    """Publish a first commit and return its sha."""
    sha = remote.commit("one")
    node.run()
    return sha
