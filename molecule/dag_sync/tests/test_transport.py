"""What a server, its certificate, its host key or its rights may be, and what comes of it."""

import secrets

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINPkJ6TFyo4uO8bTMrg5XLb23u1msG+WykZ8mISytl8u"


def stays(follower, sha):
    """Assert that the last good release is there, and that the status has the error."""
    assert follower.published() == sha
    assert follower.has("dags")
    status = follower.status()
    assert status["error"]
    assert status["error_since"]


def test_wrong_token(lab, trial):
    follower = trial("worker1")
    wrong = follower.link + "-token"
    lab.put("worker1", wrong, "wrong\n")
    follower.run().ended(0)
    sha = follower.published()
    follower.change(token_file=wrong)
    assert "Authentication failed" in follower.run().ended(3)
    stays(follower, sha)


@pytest.mark.usefixtures("web_server")
def test_token_replaced(lab, trial):
    """The file is read anew at each use: neither Ansible nor a restart is needed."""
    follower = trial("worker1")
    file = follower.link + "-token"
    lab.put("worker1", file, lab.token() + "\n")
    follower.change(token_file=file)
    follower.run().ended(0)
    new = secrets.token_hex(20)
    lab.allow_tokens(new)
    sha = lab.commit()
    assert "Authentication failed" in follower.run().ended(3)
    lab.put("worker1", file, new + "\n")
    assert f"published {sha}" in follower.run().ended(0)


def test_wrong_ca(lab, trial):
    follower = trial("worker1")
    follower.run().ended(0)
    sha, file = follower.published(), follower.link + "-ca.pem"
    lab.put("worker1", file, (lab.path / "tls/other_ca.pem").read_text())
    follower.change(ca_file=file)
    assert "certificate" in follower.run().ended(3)
    stays(follower, sha)


@pytest.mark.parametrize(("port", "reason"), [(8441, "certificate"), (8442, "does not match")])
def test_certificate_that_is_expired_or_of_another_name(trial, port, reason):
    follower = trial("worker1", repository=f"https://control1:{port}/dags.git")
    assert reason in follower.run().ended(3)
    assert follower.status()["published"] is None


def test_hostkey_changed(lab, trial):
    follower = trial("scheduler1")
    follower.run().ended(0)
    sha, file = follower.published(), follower.link + "-known_hosts"
    lab.put("scheduler1", file, f"control1 {OTHER_KEY}\n")
    follower.change(known_hosts=file)
    assert "Host key verification failed" in follower.run().ended(3)
    stays(follower, sha)


def test_auth_revoked(lab, trial):
    follower = trial("scheduler1")
    follower.run().ended(0)
    sha = follower.published()
    keys = "/srv/git/.ssh/authorized_keys"
    lab["control1"].check_output(f"mv {keys} {keys}.away")
    try:
        assert "Permission denied" in follower.run().ended(3)
        stays(follower, sha)
    finally:
        lab["control1"].check_output(f"mv {keys}.away {keys}")
    assert "works again" in follower.run().ended(0)


def test_remote_down(lab, settled, web_server):
    """The age grows, the journal has the error once and its end, and the release stays."""
    follower = lab.follower("worker1")
    since = lab.now("worker1")
    web_server.check_output("systemctl stop lighttpd")
    assert follower.tick() == 3
    first = follower.status()
    lab.now("worker1")
    assert follower.tick() == 3
    second = follower.status()
    assert second["age_seconds"] > first["age_seconds"]
    assert second["failures"] == first["failures"] + 1
    assert second["error_since"] == first["error_since"]
    stays(follower, settled)
    assert lab.journal("worker1", since).count("failed: ") == 1
    web_server.check_output("systemctl start lighttpd")
    assert follower.tick() == 0
    assert "works again, after failing since" in lab.journal("worker1", since)
    assert follower.status()["error"] is None


def test_hung_remote(lab, trial, name):
    follower = trial(name, timeout_seconds=3)
    url = follower.settings["repository"].replace("control1", "control1:9999")
    follower.change(repository=url)
    with lab.listener(9999):
        assert "did not end within 3 s" in follower.run().ended(3)
        assert follower.host.run("ps -u airflow -o args=").stdout == ""


def test_submodules(lab, trial, name):
    """Submodules of submodules, named by relative URLs, are fetched with the same rights."""
    for repository in ("inner", "outer", "super"):
        lab.repository(repository)
    lab.commit({"inner.txt": "inner"}, clone="inner")
    for above, below in (("outer", "inner"), ("super", "outer")):
        lab.author(
            f"cd {above}\n"
            f"git -c protocol.file.allow=always submodule --quiet add ../{below}.git {below}"
        )
        lab.commit({f"{above}.txt": above}, clone=above)
    follower = trial(name)
    url = follower.settings["repository"].replace("dags.git", "super.git")
    follower.change(repository=url)
    follower.run().ended(0)
    for path in ("super.txt", "outer/outer.txt", "outer/inner/inner.txt"):
        assert follower.has(path), path
    without = trial(name, repository=url, submodules=False)
    without.run().ended(0)
    assert without.has("outer")
    assert not without.has("outer/outer.txt")
