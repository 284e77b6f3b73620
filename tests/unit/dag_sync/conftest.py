"""A remote repository and a node, both real; the program runs as cron runs it.

The remote is a path of this host. With DAG_SYNC_REMOTES=ssh or =https it is one that a server on
this host serves; the tests then run as root, and make, move and break the repositories directly
on the disk:

    DAG_SYNC_SERVED        a folder that the server reads; each test has its own in it
    DAG_SYNC_SSH_URL       ssh://git@HOST, followed by the path of a repository on the disk
    DAG_SYNC_SSH_KEY       a private key that may read
    DAG_SYNC_KNOWN_HOSTS   the server's host key
    DAG_SYNC_HTTPS_URL     https://HOST[:PORT], followed by the path below DAG_SYNC_SERVED
    DAG_SYNC_CA            the authority that signed the server's certificate
    DAG_SYNC_TOKEN_USER    a user that may read,
    DAG_SYNC_TOKEN_FILE    and the file with its token

A test that needs one kind of remote has the marker `remotes("local")`, `remotes("ssh")` or
`remotes("https")`, and is left out with the others.
"""

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[3] / "roles/dag_sync"
PROGRAM = ROLE / "files/airflow_dag_sync"
REMOTES = os.environ.get("DAG_SYNC_REMOTES", "local")
GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "test@example.com" if what == "EMAIL" else "test"
       for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}  # fmt: skip


def pytest_configure(config):
    assert REMOTES in ("local", "ssh", "https"), f"DAG_SYNC_REMOTES={REMOTES}"
    config.addinivalue_line("markers", "remotes(*kinds): only with these kinds of remotes")


def pytest_collection_modifyitems(config, items):
    """Leave out what needs another kind of remote."""

    def is_for_another(item):
        marker = item.get_closest_marker("remotes")
        return marker and REMOTES not in marker.args

    if others := [item for item in items if is_for_another(item)]:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if not is_for_another(item)]


class Remote:
    """A bare repository, and the files that its next commit has."""

    def __init__(self, folder, name="remote"):
        self.folder = folder
        self.path = folder / f"{name}.git"
        self.files = folder / f"{name}.files"
        self.files.mkdir()
        self.environment = {}
        subprocess.run(
            ["git", "init", "--quiet", "--bare", "--initial-branch=main", self.path],
            env=os.environ | GIT_ENVIRONMENT,
            check=True,
            umask=0o022,
        )
        self.reach()

    def reach(self):
        """Tell how a node reaches it."""
        if REMOTES == "ssh":
            self.settings = {
                "repository": f"{os.environ['DAG_SYNC_SSH_URL']}{self.path}",
                "private_key": os.environ["DAG_SYNC_SSH_KEY"],
                "known_hosts": os.environ["DAG_SYNC_KNOWN_HOSTS"],
            }
        elif REMOTES == "https":
            below = self.path.relative_to(Path(os.environ["DAG_SYNC_SERVED"]).resolve())
            self.settings = {
                "repository": f"{os.environ['DAG_SYNC_HTTPS_URL']}/{below}",
                "ca_file": os.environ["DAG_SYNC_CA"],
                "token_user": os.environ["DAG_SYNC_TOKEN_USER"],
                "token_file": os.environ["DAG_SYNC_TOKEN_FILE"],
            }
        else:
            self.settings = {"repository": str(self.path)}

    @property
    def url(self):
        return self.settings["repository"]

    def another(self, name):
        """Make a second repository beside this one."""
        return type(self)(self.folder, name)

    def git(self, *arguments, **options):
        environment = (
            os.environ
            | GIT_ENVIRONMENT
            | {"GIT_DIR": str(self.path), "GIT_WORK_TREE": str(self.files)}
            | self.environment
        )
        # Other accounts, those of the servers, read it.
        return subprocess.run(
            ["git", *arguments],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            umask=0o022,
            **options,
        ).stdout.strip()

    def write(self, name, content, mode=0o644):
        """Give the next commit a file."""
        file = self.files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
        return file

    def commit(self, content, branch="main", options=()):
        """Commit dags/a.py and configs/a.yaml with this content; return the sha."""
        self.write("dags/a.py", f"{content}\n")
        self.write("configs/a.yaml", f"text: {content}\n")
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", content, *options)
        return self.git("rev-parse", "HEAD")

    @contextlib.contextmanager
    def down(self):
        """Let nobody find it."""
        away = self.path.with_suffix(".away")
        self.path.rename(away)
        try:
            yield
        finally:
            away.rename(self.path)


class Node:
    """A home with its settings file."""

    program = PROGRAM

    def __init__(self, path, settings):
        self.home = path / "home"
        self.home.mkdir()
        self.link = self.home / "airflow-git-dir"
        self.root = self.home / ".airflow-git-dir"
        self.releases = self.root / "releases"
        self.repository = self.root / "repository.git"
        self.state_file = self.root / "state.json"
        self.settings_file = path / "dag_sync.json"
        self.bin = path / "bin"
        self.environment = {}
        self.settings = {
            "repository": "",
            "ref": "main",
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "link": str(self.link),
            "private_key": "",
            "known_hosts": "",
            "token_user": "",
            "token_file": "",
            "ca_file": "",
            "proxy": "",
            "depth": 0,
            "submodules": True,
            "timeout_seconds": 20,
            "splay_seconds": 0,
            "allowed_signers": "",
            "openpgp_keys": "",
            # Another interpreter for each release takes its time: see `gated`.
            "gate_python": "",
            "gate_exclude": ["tests/*"],
            "gate_command": [],
            "gate_timeout_seconds": 20,
            "keep_releases": 3,
            "keep_days": 7,
            "metrics_file": "",
        } | settings

    def start(self, *arguments, driver=(PROGRAM,), **options):
        self.settings_file.write_text(json.dumps(self.settings))
        return subprocess.Popen(
            [sys.executable, "-IS", *driver, "--settings", self.settings_file, *arguments],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **options,
        )

    def run(self, *arguments, code=0, **options):
        """Run the program to its end and return what it said."""
        process = self.start(*arguments, **options)
        output = "".join(process.communicate(timeout=max(60, 2 * self.settings["timeout_seconds"])))
        assert code is None or process.returncode == code, output
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
    def state(self):
        return json.loads(self.state_file.read_text())

    @property
    def leftovers(self):
        """What is temporary: ours, and what git calls so."""
        return [str(path) for name in ("*.tmp", "tmp_*") for path in self.home.rglob(name)]

    @property
    def tree(self):
        """Everything in the published release: mode, and content or target of each path."""
        release = self.link.resolve()
        return {
            os.fsencode(path.relative_to(release)): (
                oct(path.lstat().st_mode),
                path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes(),
            )
            for path in (release, *release.rglob("*"))
        }

    def age(self, sha, days):
        """Let a release have been published last so long ago."""
        then = (self.releases / sha).stat().st_mtime - days * 86400
        os.utime(self.releases / sha, (then, then))


@contextlib.contextmanager
def make_remote(folder):
    """Make a repository in this folder, or else where a server finds it."""
    if REMOTES == "local":
        yield Remote(folder)
        return
    served = Path(tempfile.mkdtemp(dir=os.environ["DAG_SYNC_SERVED"])).resolve()
    served.chmod(0o755)
    yield Remote(served)
    shutil.rmtree(served)


@pytest.fixture
def remote(tmp_path):
    with make_remote(tmp_path) as remote:
        yield remote


@pytest.fixture
def node(tmp_path, remote):
    return Node(tmp_path, remote.settings)


@pytest.fixture(scope="module")
def shared_pair(tmp_path_factory):
    """Make a remote and a node for all tests of a file; each leaves them as they were."""
    folder = tmp_path_factory.mktemp("shared")
    with make_remote(folder) as remote:
        yield remote, Node(folder, remote.settings)


@pytest.fixture
def gated(node):
    """Let the interpreter of these tests be the gate's."""
    node.settings["gate_python"] = sys.executable
    return node


@pytest.fixture
def first(remote, node):
    """Publish a first commit and return its sha."""
    sha = remote.commit("one")
    node.run()
    return sha


@pytest.fixture
def wait_until():
    """Return a function that waits for a condition, and returns whether it holds."""

    def wait(condition):
        end = time.monotonic() + 5
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)
        return condition()

    return wait
