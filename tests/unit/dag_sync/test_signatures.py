"""Only what somebody allowed has signed is published."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CRON = "--splay"


@pytest.fixture(scope="module")
def ssh_keys(tmp_path_factory):
    """Make an ssh key of each person."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("alice", "mallory"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(words, check=True)
    return folder


class Gnupg:
    """A person's keyring."""

    def __init__(self, home):
        self.home = home
        home.mkdir(mode=0o700)

    def __call__(self, *arguments, **options):
        words = ["gpg", "--homedir", self.home, "--batch", "--quiet", "--pinentry-mode", "loopback"]
        words += ["--passphrase", "", *arguments]
        done = subprocess.run(words, check=True, capture_output=True, text=True, **options)
        return done.stdout

    def make(self, name, expires="never", moment=None):
        time = [f"--faked-system-time={moment}"] if moment else []
        self(*time, "--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign",
             expires)  # fmt: skip


@pytest.fixture(scope="module")
def gnupg(tmp_path_factory):
    # A socket's path has little room.
    ring = Gnupg(tmp_path_factory.mktemp("gpg") / "g")
    ring.make("carol")
    ring.make("mallory")
    # Signs at a time when it is valid, and expired long ago.
    ring.make("erin", expires="2020-02-01", moment="20200101T000000")
    yield ring
    subprocess.run(["gpgconf", "--homedir", ring.home, "--kill", "all"], check=False)


@pytest.fixture
def signed(remote, node, ssh_keys, gnupg, tmp_path):
    """Let alice (ssh) and carol (OpenPGP) be the allowed signers."""
    signers = tmp_path / "allowed_signers"
    public = (ssh_keys / "alice.pub").read_text()
    signers.write_text(f'alice@example.com namespaces="git" {public}')
    keys = tmp_path / "openpgp_keys"
    keys.write_text(gnupg("--armor", "--export", "carol@example.com"))
    node.settings |= {"allowed_signers": str(signers), "openpgp_keys": str(keys)}
    remote.environment["GNUPGHOME"] = str(gnupg.home)
    return node


@pytest.fixture
def by(ssh_keys):
    """Return git's options to sign as somebody."""

    def options(who):
        if who in ("alice", "ssh-mallory"):
            key = ssh_keys / who.removeprefix("ssh-")
            return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
        return ("-c", f"user.signingKey={who}@example.com")

    return options


def commit(remote, content, options=()):
    """Commit, signed when git's options say by whom."""
    sha = remote.commit(content)
    if options:
        remote.git(*options, "commit", "--quiet", "--amend", "--no-edit", "--gpg-sign")
        sha = remote.git("rev-parse", "HEAD")
    return sha


def tag(remote, name, options=(), *more):
    sign = "--sign" if options else "--annotate"
    remote.git(*options, "tag", sign, "--message", name, name, *more)


@pytest.mark.parametrize("who", ["alice", "carol"])
def test_signed(remote, signed, by, who):
    """ssh_signed, openpgp_signed: accepted."""
    sha = commit(remote, "one", by(who))
    assert signed.run() == f"published {sha} (main)\n"
    assert signed.run() == f"unchanged {sha} (main)\n"
    assert not signed.leftovers


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (None, "it has no signature"),  # unsigned
        ("ssh-mallory", "No principal matched"),  # wrong_signer
        ("mallory", "No public key"),
    ],
)
def test_wrong_signer(remote, signed, by, who, reason):
    first = commit(remote, "one", by("alice"))
    signed.run()
    sha = commit(remote, "two", by(who) if who else ())
    output = signed.run(code=4)
    assert output.startswith(f"blocked {sha}: none of the allowed signers has signed it: ")
    assert reason in output
    assert (signed.published, signed.content) == (first, "one")
    assert signed.status["blocked"]["sha"] == sha
    assert signed.status["releases"] == [first]
    assert signed.run(CRON, code=4) == ""
    # A signed commit on top of it is what readers get: whoever signs, signs what is below.
    sha = commit(remote, "three", by("carol"))
    signed.run()
    assert (signed.published, signed.status["blocked"]) == (sha, None)


@pytest.mark.parametrize("setting", ["allowed_signers", "openpgp_keys"])
def test_only_one_kind_is_allowed(remote, signed, by, setting):
    """A good signature of the kind of which nobody is allowed."""
    other = {"allowed_signers": "carol", "openpgp_keys": "alice"}[setting]
    signed.settings["openpgp_keys" if setting == "allowed_signers" else "allowed_signers"] = ""
    sha = commit(remote, "one", by(other))
    assert f"blocked {sha}: " in signed.run(code=4)
    sha = commit(remote, "two", by("alice" if other == "carol" else "carol"))
    signed.run()
    assert signed.published == sha


def test_forged(remote, signed, by):
    """A signature that was made for another content."""
    commit(remote, "one", by("alice"))
    text = remote.git("cat-file", "commit", "HEAD").replace("\n\none", "\n\ntwo")
    forged = remote.git("hash-object", "-t", "commit", "-w", "--stdin", input=text + "\n")
    remote.git("update-ref", "refs/heads/main", forged)
    assert f"blocked {forged}: " in signed.run(code=4)


@pytest.mark.parametrize("what", ["expired", "revoked"])
def test_key_that_is_no_more(remote, signed, by, gnupg, tmp_path, what):
    keys = tmp_path / "openpgp_keys"
    if what == "expired":
        keys.write_text(gnupg("--armor", "--export", "erin@example.com"))
        program = tmp_path / "gpg-then"
        program.write_text('#!/bin/sh\nexec gpg --faked-system-time 20200115T000000 "$@"\n')
        program.chmod(0o755)
        commit(remote, "one", (*by("erin"), "-c", f"gpg.program={program}"))
    else:
        other = Gnupg(tmp_path / "g")
        other.make("dave")
        remote.environment["GNUPGHOME"] = str(other.home)
        commit(remote, "one", by("dave"))
        # Allowed, until the revocation.
        keys.write_text(other("--armor", "--export", "dave@example.com"))
        signed.run()
        commit(remote, "two", by("dave"))
        [certificate] = (other.home / "openpgp-revocs.d").iterdir()
        other("--import", "-", input=certificate.read_text().replace(":-----BEGIN", "-----BEGIN"))
        keys.write_text(other("--armor", "--export", "dave@example.com"))
        subprocess.run(["gpgconf", "--homedir", other.home, "--kill", "all"], check=False)
    sha = remote.git("rev-parse", "HEAD")
    assert f"blocked {sha}: " in signed.run(code=4)


def test_signed_tag(remote, signed, by):
    """The tag is signed, while its commit is not."""
    sha = commit(remote, "one")
    tag(remote, "v1", by("carol"))
    signed.settings["ref"] = "v1"
    signed.run()
    assert signed.published == sha
    # The commit alone is not enough where a branch is followed.
    signed.settings["ref"] = "main"
    sha = commit(remote, "two")
    tag(remote, "v2", by("carol"))
    assert f"blocked {sha}: " in signed.run(code=4)
    # But where the tag is: by name, and by pattern.
    signed.settings["ref"] = "refs/tags/v*"
    signed.run()
    assert (signed.published, signed.content) == (sha, "two")


@pytest.mark.parametrize("who", [None, "mallory", "ssh-mallory"])
def test_tag_by_a_wrong_signer(remote, signed, by, who):
    sha = commit(remote, "one")
    tag(remote, "v1", by(who) if who else ())
    signed.settings["ref"] = "v1"
    assert f"blocked {sha}: " in signed.run(code=4)


@pytest.mark.parametrize("was_published", [False, True])
def test_old_tag_under_a_newer_name(remote, signed, by, was_published):
    """Who may push, but not sign, pushes the old signed tag v1 again as v3."""
    signed.settings["ref"] = "refs/tags/v*"
    old = commit(remote, "one")
    tag(remote, "v1", by("alice"))
    if was_published:
        signed.run()
    new = commit(remote, "two")
    tag(remote, "v2", by("alice"))
    signed.run()
    assert signed.published == new
    remote.git("update-ref", "refs/tags/v3", remote.git("rev-parse", "refs/tags/v1"))
    assert f"blocked {old}: " in signed.run(code=4)
    assert (signed.published, signed.content) == (new, "two")


def test_later_signed_tag_of_a_blocked_commit(remote, signed, by):
    """The commit is the same, the signature is new: cron looks again."""
    sha = commit(remote, "one")
    remote.git("tag", "v1")
    signed.settings["ref"] = "refs/tags/v*"
    signed.run(CRON, code=4)
    tag(remote, "v2", by("alice"))
    signed.run(CRON)
    assert signed.published == sha


def test_signers_added_later(remote, signed, by):
    """What came unsigned, before there were signers, is not published again."""
    signers = {key: signed.settings[key] for key in ("allowed_signers", "openpgp_keys")}
    signed.settings |= dict.fromkeys(signers, "")
    unsigned = commit(remote, "one")
    signed.run()
    good = commit(remote, "two", by("alice"))
    signed.run()
    signed.settings |= signers
    assert signed.run() == f"unchanged {good} (main)\n"
    output = signed.run("rollback", unsigned, code=4)
    assert output.startswith(f"blocked {unsigned}: none of the allowed signers has signed it")
    assert (signed.published, signed.status["pinned"]) == (good, None)


def test_signer_is_replaced(remote, signed, by, ssh_keys):
    """A changed list counts at once, also for what cron had blocked."""
    first = commit(remote, "one", by("alice"))
    signed.run()
    sha = commit(remote, "two", by("ssh-mallory"))
    signed.run(CRON, code=4)
    with Path(signed.settings["allowed_signers"]).open("w") as file:
        file.write(f"bob {(ssh_keys / 'mallory.pub').read_text()}")
    signed.run(CRON)
    assert signed.published == sha
    assert f"blocked {first}: " in signed.run("rollback", code=4)
    assert signed.published == sha


def test_fetch_of_an_unsigned_commit(remote, signed, by):
    first = commit(remote, "one", by("alice"))
    signed.run()
    unsigned = commit(remote, "two")
    good = commit(remote, "three", by("carol"))
    assert signed.run("fetch", unsigned, code=4).startswith(f"blocked {unsigned}: ")
    assert not (signed.releases / unsigned).exists()
    assert signed.run("fetch", good) == f"fetched {good}\n"
    assert signed.published == first


def test_fetch_of_a_signed_tag(remote, signed, by):
    """A worker is asked for a release by its sha; where tags are followed, its tag counts."""
    sha = commit(remote, "one")
    tag(remote, "v1", by("alice"))
    commit(remote, "two")
    signed.settings["ref"] = "refs/tags/v*"
    assert signed.run("fetch", sha) == f"fetched {sha}\n"
    signed.settings["ref"] = "refs/tags/w*"
    shutil.rmtree(signed.releases / sha)
    assert f"blocked {sha}: " in signed.run("fetch", sha, code=4)


@pytest.mark.parametrize("key", ["allowed_signers", "openpgp_keys"])
@pytest.mark.parametrize("file", ["missing", "empty", "damaged"])
def test_signers_file(remote, signed, by, key, file):
    """Without the list nothing is published; and it is not taken for a list of nobody."""
    commit(remote, "one", by("alice"))
    signed.settings |= {"allowed_signers": "", "openpgp_keys": "", key: f"{signed.home}/signers"}
    path = signed.home / "signers"
    if file != "missing":
        path.write_text("" if file == "empty" else "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n")
    output = signed.run(code=4 if (key, file) == ("allowed_signers", "damaged") else 2)
    if file == "missing":
        assert output == f"failed: '{key}' {path}: No such file or directory\n"
    elif file == "empty":
        assert output == f"failed: '{key}' {path} is empty\n"
    elif key == "openpgp_keys":
        assert output.startswith(f"failed: 'openpgp_keys' {path}: ")
    assert not os.path.lexists(signed.link)


def test_nothing_of_the_accounts_keyring(remote, signed, by, gnupg):
    """A key that the account trusts is not one that the settings name."""
    signed.environment["GNUPGHOME"] = str(gnupg.home)
    sha = commit(remote, "one", by("mallory"))
    assert f"blocked {sha}: " in signed.run(code=4)
