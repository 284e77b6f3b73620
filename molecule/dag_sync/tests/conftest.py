"""The git servers, the author and the nodes, as the tests of the scenario use them."""

import json
import os
import re
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
# The first follows the repository over ssh, the second over https.
NODES = ("scheduler1", "worker1")
PROGRAM = "/usr/local/bin/airflow-dag-sync"
SETTINGS = "/etc/airflow/dag_sync.json"
SECONDS = 90


@dataclass
class Ran:
    """How a command ended."""

    code: int
    output: str

    def ended(self, code):
        """Fail unless it ended with this exit code, and with a message; return its output."""
        assert self.code == code, self.output[-6000:]
        assert "Traceback" not in self.output, self.output[-6000:]
        return self.output


@dataclass
class Follower:
    """What follows a repository on a node: that of the role, or one that a test has to itself."""

    lab: "Lab"
    name: str
    settings: dict
    file: str = SETTINGS

    @property
    def host(self):
        """The node."""
        return self.lab[self.name]

    @property
    def link(self):
        """The link to what is published."""
        return self.settings["link"]

    @property
    def root(self):
        """The folder of all releases."""
        folder, _, name = self.link.rpartition("/")
        return f"{folder}/.{name}"

    def command(self, *arguments):
        """Return the command that runs the program."""
        return " ".join([PROGRAM, "--settings", self.file, *arguments])

    def run(self, *arguments, before=""):
        """Run the program as root does, who hands over to the account."""
        done = self.host.run(f"{before} {self.command(*arguments)}")
        return Ran(done.rc, done.stdout + done.stderr)

    def tick(self):
        """Run the program as cron does."""
        return self.run("--splay").code

    def status(self):
        """Return what the program says of itself."""
        return json.loads(self.run("status").ended(0))

    def published(self):
        """Return the commit that readers get."""
        return self.host.check_output(f"readlink {self.link}").rpartition("/")[2]

    def has(self, path):
        """Tell whether the published release has a file."""
        return self.host.run(f"test -e {self.link}/{path}").rc == 0

    def metrics(self):
        """Return the metrics without their common prefix."""
        text = self.host.check_output(f"cat {self.settings['metrics_file']}")
        return dict(re.findall(r"^airflow_dag_sync_(\S+?(?:\{.*\})?) (\S+)$", text, re.MULTILINE))

    def change(self, **changes):
        """Change the settings of a follower that a test has to itself."""
        assert self.file != SETTINGS
        self.settings |= changes
        self.lab.put(self.name, self.file, json.dumps(self.settings), owner="root")


@dataclass
class Lab:
    """The machines, and what is done to them."""

    cluster: object
    # Folders on nodes that are removed in the end.
    made: list = field(default_factory=list)

    def __getitem__(self, name):
        """Return a machine."""
        return self.cluster.node(name)

    @property
    def path(self):
        """The folder of the lab."""
        return self.cluster.lab

    def follower(self, name):
        """Return what the role has set up on a node."""
        return Follower(self, name, json.loads(self[name].file(SETTINGS).content))

    def trial(self, name, **changes):
        """Return a follower that has releases and settings of its own: cron knows nothing of it."""
        folder = f"/home/airflow/{secrets.token_hex(4)}"
        self[name].check_output(f"install -d -o airflow -g airflow -m 750 {folder}")
        self.made.append((name, folder))
        settings = self.follower(name).settings | {
            "link": f"{folder}/airflow-git-dir",
            "metrics_file": "",
        }
        trial = Follower(self, name, settings, f"{folder}/settings.json")
        trial.change(**changes)
        return trial

    # The controller

    inventory = HERE / "inventory"

    def begin(self, *arguments):
        """Start a playbook on this machine."""
        return subprocess.Popen(
            ["ansible-playbook", "-i", self.inventory, *arguments],
            cwd=self.cluster.root,
            env=os.environ | {"ANSIBLE_CONFIG": str(self.cluster.root / "ansible.cfg")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def play(self, *arguments):
        """Run a playbook on this machine."""
        with self.begin(*arguments) as process:
            output, _ = process.communicate(timeout=4 * SECONDS)
        return Ran(process.returncode, output)

    def converge(self, *arguments):
        """Apply the role, and leave cron stopped."""
        ran = self.play(HERE / "converge.yml", *arguments)
        self.stop_cron()
        return ran

    def fleet(self, *arguments):
        """Run playbooks/sync_dags.yml."""
        return self.play("playbooks/sync_dags.yml", *arguments)

    def ssh(self, name, command, content=""):
        """Run a command as root, with a standard input that may be secret."""
        return self.cluster.ssh(name, command, content)

    def put(self, name, path, content, owner="airflow"):
        """Write a file on a machine that one account reads."""
        self.ssh(name, f"install -o {owner} -m 400 /dev/stdin {path}", content)

    # The author

    def commit(self, files=None, *, clone="dags", git=None, push=()):
        """Commit and push; return the commit."""
        asked = {
            "clone": f"/srv/author/{clone}", "files": files or {}, "git": git or {}, "push": push,
        }  # fmt: skip
        return self.ssh("control1", "python3 /srv/author/commit.py", json.dumps(asked)).strip()

    def repository(self, name):
        """Make a repository with an author's clone of it, whatever was there before."""
        self.author(
            f"rm -rf /srv/git/{name}.git {name}\n"
            f"git init --quiet --bare --initial-branch=main /srv/git/{name}.git\n"
            f"git init --quiet --initial-branch=main {name}\n"
            f"cd {name}\n"
            "git config user.name Author\n"
            "git config user.email author@example.org\n"
            "git config push.autoSetupRemote true\n"
            f"git remote add origin /srv/git/{name}.git"
        )

    def author(self, script):
        """Run a script in the author's folder; return what it prints."""
        return self.ssh("control1", "sh -euc 'cd /srv/author && exec sh -eu'", script).strip()

    # The servers

    # As in the inventory.
    token_user = "deploy-token"

    def token(self):
        """Return the token of the nodes."""
        return self.cluster.secret("dag_sync_token")

    def allow_tokens(self, *tokens):
        """Let the server over https accept these tokens, each with a user of its own."""
        users = [
            f"{self.token_user}{number or ''}:{token}\n" for number, token in enumerate(tokens)
        ]
        self.put("control1", "/srv/https/users", "".join(users), owner="git")

    # The nodes

    nodes = NODES

    def stop_cron(self):
        """Let the tests alone say when there is a sync."""
        for name in NODES:
            # A sync that it has begun ends.
            self[name].check_output(f"systemctl stop cron; flock {self.lock} true")

    lock = "/home/airflow/.airflow-git-dir/lock"

    def settle(self):
        """Let all nodes follow the newest commit, which is good."""
        sha = self.commit()
        for name in NODES:
            follower = self.follower(name)
            follower.run("unpin").ended(0)
            follower.run().ended(0)
            assert follower.published() == sha
        return sha

    def journal(self, name, since):
        """Return what the program has told the journal of a node since a time of the node."""
        return self[name].check_output(
            f"journalctl --no-pager --output=cat --identifier=airflow-dag-sync --since=@{since}"
        )

    def now(self, name):
        """Return the time of a node, at the beginning of a second in which nothing was done yet."""
        return self[name].check_output("sleep 1.1; date +%s")


@pytest.fixture(scope="session")
def lab(cluster):
    lab = Lab(cluster)
    lab.stop_cron()
    yield lab
    for name in NODES:
        lab[name].run("systemctl start cron")


@pytest.fixture
def trial(lab):
    """Return a function that makes a follower which goes with the test."""
    yield lab.trial
    while lab.made:
        name, folder = lab.made.pop()
        lab[name].check_output(f"umount -q {folder}; rm -rf {folder}")


@pytest.fixture
def settled(lab):
    """Return the newest commit, which all nodes have."""
    return lab.settle()


@pytest.fixture
def web_server(lab):
    """Let the test stop the server over https, or change its tokens."""
    yield lab["control1"]
    lab.allow_tokens(lab.token())
    lab["control1"].check_output("systemctl start lighttpd")
