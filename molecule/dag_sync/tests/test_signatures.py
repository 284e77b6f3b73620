"""The role is told who may sign, and a node publishes the commits of these alone."""

import json

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

HOME = "/srv/author/gnupg"
WHO = ("allowed", "other")


class Signers:
    """The author's keys: of each kind, one that is allowed and one that is not."""

    def __init__(self, lab):
        self.lab = lab
        lab.author(
            f"rm -rf {HOME} gpg {' '.join(f'{who} {who}.pub' for who in WHO)}\n"
            f"mkdir -m 700 {HOME}\n"
            f"printf '#!/bin/sh\\nexec gpg --homedir {HOME} \"$@\"\\n' >gpg\n"
            "chmod 700 gpg\n"
        )
        for who in WHO:
            lab.author(
                f'ssh-keygen -q -t ed25519 -N "" -C {who} -f {who}\n'
                "./gpg --quiet --batch --passphrase '' --quick-generate-key"
                f" {who}@example.org ed25519 sign never"
            )
        key = lab.author("cut -d' ' -f1,2 allowed.pub")
        self.allowed = [
            f"allowed@example.org {key}",
            lab.author("./gpg --armor --export allowed@example.org"),
        ]

    def commit(self, kind="", who=""):
        """Commit with somebody's signature, or with none."""
        signing = {
            "": {"commit.gpgsign": "false"},
            "ssh": {"gpg.format": "ssh", "user.signingkey": f"/srv/author/{who}.pub"},
            "openpgp": {"user.signingkey": f"{who}@example.org", "gpg.program": "/srv/author/gpg"},
        }[kind]
        return self.lab.commit(git={"commit.gpgsign": "true"} | signing)


@pytest.fixture(scope="module")
def signers(lab):
    """Let the role ask for signatures on worker1 while the newest commit has none."""
    signers = Signers(lab)
    signers.published = lab.settle()
    signers.unsigned = signers.commit()
    given = json.dumps({"dag_sync_allowed_signers": signers.allowed})
    signers.ran = lab.converge("--limit", "worker1", "--extra-vars", given)
    yield signers
    lab["control1"].run(f"gpgconf --homedir {HOME} --kill all")


def test_unsigned(lab, signers):
    """The play fails on that host, with the reason; what was published stays."""
    assert signers.ran.code != 0
    assert f"worker1: blocked {signers.unsigned}" in " ".join(signers.ran.output.split())
    follower = lab.follower("worker1")
    assert follower.published() == signers.published
    assert follower.status()["blocked"]["sha"] == signers.unsigned
    assert follower.tick() == 4


@pytest.mark.parametrize("kind", ["ssh", "openpgp"])
def test_wrong_signer(lab, signers, kind):
    follower = lab.follower("worker1")
    before = follower.published()
    sha = signers.commit(kind, "other")
    assert f"blocked {sha}" in follower.run().ended(4)
    assert follower.published() == before


@pytest.mark.parametrize("kind", ["ssh", "openpgp"])
def test_ssh_signed_and_openpgp_signed(lab, signers, kind):
    sha = signers.commit(kind, "allowed")
    assert f"published {sha}" in lab.follower("worker1").run().ended(0)


def test_signers_that_are_not_asked_for_any_longer(lab, signers):
    """Their files go, and the commits of others are published."""
    sha = signers.commit()
    lab.converge("--limit", "worker1").ended(0)
    files = lab["worker1"].check_output("ls /etc/airflow/dag_sync").split()
    assert files == ["ca.pem", "token"]
    assert lab.follower("worker1").published() == sha
