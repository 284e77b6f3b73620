"""A timer that follows a git repository of this collection, with the list of sources in it."""

import json
import os
import shutil
import subprocess

import pytest
import yaml

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

PATHS = ["collections", "galaxy.yml", "meta", "playbooks", "plugins", "roles"]
BARE = "/srv/git/caspian.git"
INVENTORY = "inventories/site"


class Repository:
    """A clone, from which a person pushes."""

    def __init__(self, lab, place):
        self.place = place
        self.environment = os.environ | {"GIT_SSH_COMMAND": f"ssh -F {lab.path}/ssh_config"}
        place.mkdir()
        for path in PATHS:
            source = lab.cluster.root / path
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place / path, symlinks=True, ignore=ignored)
            else:
                shutil.copy(source, place / path)
        folder = lab.cluster.root / "molecule/credentials/inventory"
        (place / INVENTORY / "group_vars").mkdir(parents=True)
        shutil.copy(folder / "hosts.yml", place / INVENTORY)
        everything = yaml.safe_load((folder / "group_vars/all.yml").read_text())
        self.sources = everything["credentials_sources"]
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "The author")
        self.git("config", "user.email", "author@localhost")
        self.git("remote", "add", "origin", f"ssh://git@control1{BARE}")
        # Who may sign.
        self.signer = place.with_name("signer")
        lab.cluster.local("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.signer))
        self.allowed = f"me@example.org {self.signer.with_suffix('.pub').read_text().strip()}"
        self.git("config", "gpg.format", "ssh")
        self.git("config", "user.signingkey", str(self.signer))

    def git(self, *arguments):
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.place, env=self.environment, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def push(self, sources, *, signed=True):
        """Let the repository declare these sources; return the commit."""
        file = self.place / INVENTORY / "group_vars/all.yml"
        file.write_text(yaml.safe_dump({"credentials_sources": sources}))
        self.git("add", "--all")
        sign = "--gpg-sign" if signed else "--no-gpg-sign"
        self.git("commit", "--quiet", "--allow-empty", sign, "--message", "Declare the sources")
        self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(lab, tmp_path_factory):
    """Make the repository on control1 and let the timer follow it; in the end it no longer does."""
    place = tmp_path_factory.mktemp("repository")
    key = place / "deploy_key"
    lab.cluster.local("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", str(key))
    keys = (
        f"restrict {(lab.path / 'id_ed25519.pub').read_text()}"
        f"restrict,command=\"git-upload-pack '{BARE}'\" {key.with_suffix('.pub').read_text()}"
    )
    control1 = lab["control1"]
    control1.check_output(
        "install -d -o git -g git -m 700 /srv/git/.ssh"
        f" && sudo -u git git init --quiet --bare --initial-branch=main {BARE}"
    )
    authorized = "/srv/git/.ssh/authorized_keys"
    lab.ssh("control1", f"install -o git -g git -m 600 /dev/stdin {authorized}", keys)
    repository = Repository(lab, place / "clone")
    repository.push(repository.sources)
    settings = place / "settings.json"
    known = [
        line
        for line in (lab.path / "known_hosts").read_text().splitlines()
        if line.startswith("control1,")
    ]
    settings.touch(0o600)
    settings.write_text(
        json.dumps(
            {
                "refresh_schedule_repository": f"ssh://git@control1{BARE}",
                "refresh_schedule_repository_key": key.read_text(),
                "refresh_schedule_repository_known_hosts": known,
                "refresh_schedule_allowed_signers": [repository.allowed],
                "refresh_schedule_inventory": INVENTORY,
            }
        )
    )
    lab.play("--extra-vars", f"@{settings}", book="molecule/credentials/converge.yml").good()
    yield repository
    lab.play(book="molecule/credentials/converge.yml").good()
    lab.delivered()
    # Neither the deploy key nor anything else that the settings do not name.
    assert "repository" not in control1.check_output("ls /etc/caspian-refresh")


@pytest.mark.usefixtures("repository")
def test_collection_and_list_are_the_repository_s(lab):
    control1 = lab["control1"]
    settings = control1.check_output("cat /etc/caspian-refresh/ansible.cfg")
    assert "collections_path = /var/lib/caspian-refresh/checkout/collections" in settings
    assert "SHARED-01" not in control1.check_output("cat /etc/caspian-refresh/inventory.json")
    lab.rotate("SHARED-01")
    lab.good()
    lab.delivered()
    key = "/etc/caspian-refresh/repository_key"
    assert control1.check_output(f"stat --format='%U:%G %a' {key}") == "root:caspian-refresh 440"


def test_pushed_change_of_the_list_is_delivered_by_the_next_run(lab, repository):
    shared, _, of_worker, pagerduty = repository.sources
    repository.push([shared, {**of_worker, "hosts": ["airflow"]}, pagerduty])
    said = lab.good()
    assert "node1: added WORKER-01; removed SCHEDULER-01" in said
    assert lab.names("node1") == lab.names("node2") == {"SHARED-01", "WORKER-01"}
    repository.push(repository.sources)
    lab.good()
    lab.delivered()


def test_commit_that_nobody_has_signed_is_not_followed(lab, repository):
    """The refresh goes on with the last good checkout, and says so; a signed commit ends it."""
    shared, _, of_worker, pagerduty = repository.sources
    unsigned = repository.push([{**of_worker, "hosts": ["airflow"]}, pagerduty], signed=False)
    lab.rotate("SHARED-01")
    said = lab.good()
    assert f"blocked {unsigned}" in said
    lab.delivered()
    checkout = lab["control1"].check_output("readlink /var/lib/caspian-refresh/checkout")
    assert not checkout.endswith(unsigned)
    # The signature is the newest commit's: it stands for all that it has in it.
    signed = repository.push([shared, {**of_worker, "hosts": ["airflow"]}, pagerduty])
    assert f"published {signed}" in lab.good()
    assert lab.names("node1") == {"SHARED-01", "WORKER-01"}
    repository.push(repository.sources)
    lab.good()
    lab.delivered()


@pytest.mark.usefixtures("repository")
def test_last_good_checkout_serves_while_the_server_is_away(lab):
    control1 = lab["control1"]
    lab.rotate("SHARED-01")
    control1.check_output(f"mv {BARE} {BARE}.away")
    try:
        said = lab.good()
    finally:
        control1.check_output(f"mv {BARE}.away {BARE}")
    assert BARE in said
    lab.delivered()
