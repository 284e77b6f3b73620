"""What git obeys on this host, and what is damage to its repository."""

import json
import os
import subprocess

import pytest

# No server decides it.
pytestmark = pytest.mark.remotes("local")


@pytest.fixture
def ran(tmp_path):
    """Return a program that notes that it was run, and the note."""
    program, note = tmp_path / "program", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {note}\nexit 0\n")
    program.chmod(0o755)
    return program, note


def configure(node, name, value):
    words = ["git", "config", "--file", node.repository / "config", name, value]
    subprocess.run(words, check=True)


def write(path, text, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


# What the account has written into the git directory → what the message names.
STRANGE = {
    "signatures": lambda node, program: configure(node, "gpg.ssh.program", str(program)),
    "openpgp": lambda node, program: configure(node, "gpg.program", str(program)),
    "fsmonitor": lambda node, program: configure(node, "core.fsmonitor", str(program)),
    "ssh": lambda node, program: configure(node, "core.sshCommand", str(program)),
    "pager": lambda node, program: configure(node, "core.pager", str(program)),
    "filter": lambda node, program: configure(node, "filter.evil.smudge", str(program)),
    "upload pack": lambda node, program: configure(node, "remote.x.uploadpack", str(program)),
    "hooks path": lambda node, program: configure(node, "core.hooksPath", str(program.parent)),
    "include": lambda node, program: (
        write(node.root / "other", f"[core]\n\tfsmonitor = {program}\n"),
        configure(node, "include.path", str(node.root / "other")),
    ),
    "another folder": lambda node, _: configure(node, "core.worktree", "/"),
    "extension": lambda node, program: (
        configure(node, "extensions.worktreeConfig", "true"),
        write(node.repository / "config.worktree", f"[core]\n\tfsmonitor = {program}\n"),
    ),
    "hook": lambda node, program: write(
        node.repository / "hooks/reference-transaction", f"#!/bin/sh\n{program}\n"
    ),
    "attributes": lambda node, _: write(node.repository / "info/attributes", "* text eol=crlf\n"),
    "exclude": lambda node, _: write(node.repository / "info/exclude", "*\n"),
    "grafts": lambda node, _: write(node.repository / "info/grafts", "\n"),
    "alternates": lambda node, program: write(
        node.repository / "objects/info/alternates", f"{program.parent}\n"
    ),
    "common folder": lambda node, program: write(
        node.repository / "commondir", f"{program.parent}\n"
    ),
    "link to objects": lambda node, _: (
        (node.repository / "objects").rename(node.root / "objects"),
        (node.repository / "objects").symlink_to(node.root / "objects"),
    ),
    "link to a configuration": lambda node, _: (
        (node.repository / "config").rename(node.root / "config"),
        (node.repository / "config").symlink_to(node.root / "config"),
    ),
    "link to all of it": lambda node, _: (
        node.repository.rename(node.root / "elsewhere"),
        node.repository.symlink_to(node.root / "elsewhere"),
    ),
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.usefixtures("first")
def test_git_runs_with_what_the_program_says_alone(remote, node, ran, strange):
    """What its account writes into the git directory is damage; none of it is obeyed."""
    program, note = ran
    STRANGE[strange](node, program)
    remote.write(".gitattributes", "*.bin filter=evil\n")
    remote.write("a.bin", "x")
    # The gate would refuse a file with a filter, and what is asked here is whether git runs it.
    node.settings["gate_exclude"] = ["*.bin"]
    sha = remote.commit("two")
    output = node.run()
    assert f"{node.repository} was damaged, made anew: " in output
    assert not note.exists()
    assert (node.published, node.content) == (sha, "two")
    assert (node.repository / "config").read_text().count("[") == 1
    assert node.run() == f"unchanged {sha} (main)\n"


@pytest.mark.parametrize("strange", ["signatures", "openpgp"])
def test_a_blocked_commit_is_not_signed_by_a_configuration(remote, node, first, ran, strange):
    """Before this, git asked the program of the configuration, which said yes."""
    program, note = ran
    signers = node.home / "signers"
    signers.write_text("somebody@example.com ssh-ed25519 " + "A" * 68 + "\n")
    node.settings["allowed_signers"] = str(signers)
    STRANGE[strange](node, program)
    sha = remote.commit("two")
    output = node.run(code=4)
    assert f"blocked {sha}: none of the allowed signers has signed it: " in output
    assert not note.exists()
    assert node.published == first


def test_a_replaced_object_is_not_published(remote, node, first):
    """Git shows another object in the place of one that has a replacement."""
    words = ["git", "--git-dir", node.repository]
    blob = remote.git("rev-parse", f"{first}:dags/a.py")
    evil = subprocess.run(
        [*words, "hash-object", "-w", "--stdin"], input=b"evil\n", check=True, capture_output=True
    ).stdout.decode().strip()  # fmt: skip
    subprocess.run([*words, "replace", blob, evil], check=True)
    (node.link / "dags/a.py").unlink()
    assert f"repaired {first}: missing dags/a.py" in node.run()
    assert node.content == "one"


def git_log(node):
    """Note the git commands of each run."""
    log = node.home / "git-commands"
    node.wrap("git", f'printf "%s\\n" "$*" >>{log}\nPATH=${{PATH#*:}}\nexec git "$@"')

    def fetches():
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return sum(" fetch " in line for line in lines)

    return fetches


def commit_tree(remote, listing):
    """Commit a tree that no work tree could give."""
    tree = remote.git("mktree", "--missing", "-z", input=listing)
    sha = remote.git("commit-tree", "-m", "odd", tree)
    remote.git("update-ref", "refs/heads/main", sha)
    return sha


@pytest.fixture
def odd_name(remote):
    """Return a function that commits a file whose name cannot be checked out."""

    def commit(name):
        blob = remote.git("hash-object", "-w", "--stdin", input="x\n")
        return commit_tree(remote, f"100644 blob {blob}\t{name}\0")

    return commit


@pytest.mark.parametrize("name", [".git", "x" * 300, ".GIT~1"])
def test_a_name_that_cannot_be_checked_out_is_no_damage(remote, node, first, odd_name, name):
    """The repository stays, the cause is told, and cron does not fetch again each minute."""
    sha, inode = odd_name(name), node.repository.stat().st_ino
    fetches = git_log(node)
    output = node.run("--splay", code=None)
    assert "damaged" not in output
    if node.published == sha:
        return  # This git writes the name.
    assert fetches() == 1
    error = node.status["error"]
    assert error
    for _ in range(3):
        node.run("--splay", code=None)
        assert node.status["error"] == error
    assert fetches() == 0
    assert node.repository.stat().st_ino == inode
    assert node.published == first
    assert not node.leftovers
    # The next commit does not wait for it.
    sha = remote.commit("two")
    node.run("--splay")
    assert node.published == sha


def test_a_submodule_that_cannot_be_fetched_is_no_damage(remote, node, first):
    """Its server is asked again later, and ever later."""
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    (remote.files / "lib").mkdir()
    remote.write(".gitmodules", '[submodule "x"]\n\tpath = lib\n\turl = ../none.git\n')
    remote.commit("two")
    inode, fetches = node.repository.stat().st_ino, git_log(node)
    node.run("--splay", code=3)
    assert "none.git cannot be fetched" in node.status["error"]
    assert fetches() == 3  # the tip, the commit, and all that the other has
    for _ in range(3):
        node.run("--splay", code=3)
    assert fetches() == 0
    delay = node.state["postponed"]["delay"]
    state = node.state
    state["postponed"]["until"] -= 2 * delay
    node.state_file.write_text(json.dumps(state))
    node.run("--splay", code=3)
    assert fetches() == 3
    assert node.state["postponed"]["delay"] == 2 * delay
    # A person does not wait.
    node.run(code=3)
    assert fetches() == 3
    assert node.repository.stat().st_ino == inode
    assert node.published == first


def test_a_full_disk_is_no_damage(remote, node, first):
    inode = node.repository.stat().st_ino
    (remote.files / "large").write_bytes(os.urandom(1 << 20))
    remote.commit("two")
    node.wrap(
        "git",
        'PATH=${PATH#*:}\ncase " $* " in *" read-tree "*) ulimit -f 500; trap "" XFSZ ;; esac\n'
        'exec git "$@"',
    )
    output = node.run(code=1)
    assert "damaged" not in output
    assert node.repository.stat().st_ino == inode
    assert node.published == first


@pytest.mark.usefixtures("first")
def test_a_new_repository_that_fails_too_tells_the_first_cause(remote, node):
    """What was wrong with the old one is not lost behind what is wrong with the new one."""
    for pack in node.repository.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:40])
    remote.commit("two")
    node.wrap(
        "git",
        'case " $* " in *" fetch "*) echo "fatal: no route" >&2; exit 128 ;; esac\n'
        'PATH=${PATH#*:}\nexec git "$@"',
    )
    output = node.run(code=3)
    error = node.status["error"]
    assert f"{node.repository} was damaged, made anew: " in output
    assert "no route" in error
    assert f"{node.repository} was damaged: " in error
    node.bin.joinpath("git").unlink()
    node.run()
    assert node.content == "two"
