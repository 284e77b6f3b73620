"""Publishing from a real repository, when all goes well and when it does not."""

import fcntl
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from airflow_dag_sync.git import reason
from airflow_dag_sync.processes import Deadline
from airflow_dag_sync.text import without_numbers

PROGRAM = Path(__file__).parents[3] / "roles/dag_sync/files/airflow_dag_sync"
LONG_AGO = 100  # days
# For what does not depend on the server: molecule repeats the rest over ssh and https.
local = pytest.mark.remotes("local")


def snapshot(directory):
    """Everything that a write would change, but for the time of the last success."""
    return {
        path: (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in (directory, *directory.rglob("*"))
        if path.name != "last_success"
    }


# What is published


@local
@pytest.mark.parametrize(
    "root", ["missing", "exists empty", "has symlink", "under another repository"]
)
def test_init_root(remote, node, tmp_path, root):
    if root == "exists empty":
        node.root.mkdir()
    elif root == "has symlink":
        (tmp_path / "disk").mkdir()
        node.root.symlink_to(tmp_path / "disk")
    elif root == "under another repository":
        subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
        (tmp_path / ".gitattributes").write_text("* text eol=crlf\n")
        (tmp_path / ".gitignore").write_text("*\n")
    sha = remote.commit("one")
    assert node.run() == f"published {sha} (main)\n"
    assert node.published == sha
    assert node.content == "one"


def test_whole_tree(remote, node):
    names = ["dags/a b\nc.py", "util/ö.py", b"lib/\xff.py".decode(errors="surrogateescape")]
    for name in names:
        file = remote.files / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# {name!a}", errors="surrogateescape")
    script = remote.files / "tests/run"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (remote.files / "latest").symlink_to("configs/a.yaml")
    remote.commit("one")
    node.run()
    for name in names:
        assert (node.link / name).read_text(errors="surrogateescape") == f"# {name!a}"
    assert os.access(node.link / "tests/run", os.X_OK)
    assert (node.link / "latest").read_text() == "text: one\n"
    top = sorted(path.name for path in node.link.iterdir())
    assert top == ["configs", "dags", "latest", "lib", "tests", "util"]


@local
def test_readers_other_uid(remote, node):
    """Under umask 077 the group can read everything, and nobody else can write anything."""
    remote.commit("one")
    node.run(umask=0o077)
    paths = [node.root, *node.root.rglob("*")]
    assert len(paths) > 10
    for path in paths:
        mode = path.stat().st_mode
        assert mode & 0o022 == 0, path
        if "repository.git" not in path.parts:
            assert mode & 0o040, path
            assert not path.is_dir() or mode & 0o010, path


def test_branch(remote, node, first):
    second = remote.commit("two")
    assert node.run() == f"published {second} (main)\n"
    assert (node.published, node.content) == (second, "two")
    assert {path.name for path in node.releases.iterdir()} == {first, second}
    assert not node.leftovers


@pytest.mark.parametrize(
    "ref", ["other", "refs/heads/other", "v1", "refs/tags/v1", "annotated", "HEAD", "sha"]
)
def test_ref(remote, node, ref):
    """A branch, a tag, an annotated tag, the default branch, a commit."""
    remote.commit("one")
    sha = remote.commit("two", branch="other")
    remote.git("tag", "v1")
    remote.git("tag", "--annotate", "--message", "x", "annotated")
    remote.commit("three", branch="main")
    if ref == "HEAD":
        remote.git("symbolic-ref", "HEAD", "refs/heads/other")
    node.settings["ref"] = sha if ref == "sha" else ref
    node.run()
    assert (node.published, node.content) == (sha, "two")
    assert node.run().startswith("unchanged")


def test_branch_switch(remote, node, first):
    sha = remote.commit("two", branch="other")
    node.settings["ref"] = "other"
    node.run()
    assert (node.published, node.content) == (sha, "two")
    node.settings["ref"] = "main"
    node.run()
    assert (node.published, node.content) == (first, "one")


@local
def test_branch_wins_over_all_that_is_called_so(remote, node, first):
    """Whether the question finds it or a fetch does."""
    other = remote.commit("two", branch="other")
    odd = ("refs/tags/main", "refs/main", "refs/heads/heads/main", "refs/heads/refs/heads/main")
    for name in (*odd, "refs/remotes/origin/main"):
        remote.git("update-ref", name, other)
    assert node.run() == f"unchanged {first} (main)\n"
    sha = remote.commit("three", branch="main")
    assert node.run() == f"published {sha} (main)\n"
    node.state_file.unlink()
    assert node.run() == f"unchanged {sha} (main)\n"


@local
def test_branch_and_tag_take_turns(remote, node, first):
    """The name stays, and what has it on the server changes between two runs."""
    tagged = remote.commit("two", branch="other")
    remote.git("tag", "main", tagged)
    remote.git("update-ref", "-d", "refs/heads/main")
    assert node.run() == f"published {tagged} (main)\n"
    assert node.run() == f"unchanged {tagged} (main)\n"
    remote.git("update-ref", "refs/heads/main", first)
    assert node.run() == f"published {first} (main)\n"
    sha = remote.commit("three", branch="main")
    assert node.run() == f"published {sha} (main)\n"


@pytest.mark.usefixtures("first")
def test_repository_switch(remote, node):
    other = remote.another("other")
    sha = other.commit("elsewhere")
    node.settings |= other.settings
    node.run()
    assert (node.published, node.content) == (sha, "elsewhere")


def test_force_push(remote, node, first):
    remote.commit("two")
    node.run()
    remote.git("update-ref", "refs/heads/main", first)
    sha = remote.commit("three")
    node.run()
    assert (node.published, node.content) == (sha, "three")


def test_sha_pin(remote, node, first):
    """No network once the commit is here."""
    node.settings["ref"] = first
    node.run()
    remote.path.rename(remote.path.with_suffix(".away"))
    assert node.run() == f"unchanged {first} ({first})\n"


@pytest.fixture
def commands(node, tmp_path):
    """Return a function that lists the commands of git, as far as they are of interest, since."""
    calls = tmp_path / "calls"
    calls.touch()
    node.wrap("git", f'echo "$@" >>{calls}\nPATH=${{PATH#*:}}\nexec git "$@"')
    names = {"ls-remote", "fetch", "rev-parse"}

    def since():
        lines = calls.read_text().splitlines()
        calls.write_text("")
        return [word for line in lines for word in line.split() if word in names]

    return since


@local
@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({}, ["fetch", "rev-parse"]),
        ({"ref": "refs/heads/main"}, ["fetch", "rev-parse"]),
        ({"ref": "HEAD"}, ["fetch", "rev-parse"]),
        ({"ref": "v1"}, ["ls-remote"]),
        ({"ref": "refs/tags/v*"}, ["ls-remote"]),
        ({"depth": 1}, ["ls-remote"]),
    ],
)
def test_noop_cost(remote, node, commands, settings, asks):
    """One connection and nothing written, the moment of the success aside."""
    node.settings |= settings
    sha = remote.commit("one")
    remote.git("tag", "--annotate", "--message", "x", "v1")
    node.run()
    commands()
    os.utime(node.root / "last_success", (0, 0))
    before = snapshot(node.home)
    assert node.run() == f"unchanged {sha} ({node.settings['ref']})\n"
    assert commands() == asks
    assert snapshot(node.home) == before
    assert node.status["age_seconds"] < 60


@local
@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "HEAD", "refs/tags/v1"])
def test_news_come_over_one_connection(remote, node, commands, ref):
    """From the second run on: then it is known what the server calls the ref."""
    node.settings["ref"] = ref
    for content in ("one", "two"):
        sha = remote.commit(content)
        remote.git("tag", "--force", "--annotate", "--message", content, "v1")
        commands()
        assert f"published {sha} ({ref})" in node.run()
    assert [name for name in commands() if name != "rev-parse"] == ["fetch"]
    assert node.content == "two"


@local
@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("why", ["pinned", "failed", "damaged"])
def test_where_a_fetch_is_not_tried(remote, node, commands, why):
    """The question comes first then, and what is published is the same."""
    old, sha = node.published, remote.commit("two")
    if why == "pinned":
        node.run("rollback", old)
    elif why == "failed":
        with remote.down():
            node.run(code=3)
    elif why == "damaged":
        (node.repository / "hooks").mkdir()
    commands()
    output = node.run()
    assert commands()[0] == "ls-remote"
    assert node.status["seen"] == sha
    assert node.published == (old if why == "pinned" else sha), output


@local
def test_a_tick_does_not_wait_for_the_repository(node, first, commands):
    """Another run makes a release meanwhile."""
    commands()
    with (node.root / "repository.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert node.run() == f"unchanged {first} (main)\n"
    assert commands() == ["ls-remote"]


@local
def test_a_step_gets_no_more_time_than_is_left():
    """And what it does not need is there for the next one."""
    deadline = Deadline(1000)
    with deadline.at_most(10):
        assert deadline.left <= 10
    assert 10 < deadline.left <= 1000
    with deadline.at_most(9999):
        assert deadline.left <= 1000


@local
@pytest.mark.usefixtures("first")
def test_nothing_of_the_account(remote, node, tmp_path):
    """Neither hooks nor configuration nor variables of whoever runs it."""
    ran = tmp_path / "ran"
    hooks = node.repository / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        file = hooks / hook
        file.write_text(f"#!/bin/sh\ntouch {ran}\n")
        file.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f'[url "/nowhere"]\ninsteadOf = {remote.url}\n')
    node.environment = {
        "HOME": str(tmp_path),
        "GIT_DIR": "/nowhere",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "url./nowhere.insteadOf",
        "GIT_CONFIG_VALUE_0": remote.url,
    }
    sha = remote.commit("two")
    node.run()
    assert node.published == sha
    assert not ran.exists()


@pytest.mark.remotes("local")
@pytest.mark.usefixtures("first")
def test_remote_of_another_account(remote, node):
    """What git calls dubious ownership: the settings name the repository, so it is trusted."""
    node.wrap(
        "git",
        'PATH=${PATH#*:}\nexport GIT_TEST_ASSUME_DIFFERENT_OWNER=1\nexec git "$@"',
    )
    sha = remote.commit("two")
    node.run()
    assert node.published == sha


# What is refused


@pytest.mark.parametrize("ref", ["gone", "refs/heads/gone"])
def test_bad_ref(remote, node, first, ref):
    node.settings["ref"] = ref
    assert node.run(code=2) == f"failed: {remote.url} has no branch or tag {ref}; it has main\n"
    assert node.published == first


@local
def test_short_sha(node, first):
    node.settings["ref"] = first[:12]
    assert node.run(code=2).endswith("; a commit takes all its 40 characters\n")


def test_unknown_sha(remote, node, first):
    unknown = "0" * 39 + "1"
    node.settings["ref"] = unknown
    output = node.run(code=2)
    assert output == f"failed: {remote.url} has no commit {unknown}\n"
    assert node.published == first


@local
def test_tag_of_no_commit(remote, node, first):
    remote.git("tag", "tree", f"{first}^{{tree}}")
    node.settings["ref"] = "tree"
    assert node.run(code=1).startswith("failed: ")
    assert node.published == first


@local
def test_link_is_a_directory(remote, node):
    remote.commit("one")
    node.link.mkdir()
    assert node.run(code=2) == f"failed: {node.link} is not a link: move it away\n"
    assert not node.repository.exists()


@local
@pytest.mark.usefixtures("first")
def test_token_leak(node):
    """What git itself says is masked too, in the message and in what is kept."""
    node.wrap("git", 'echo "fatal: unable to access https://user:hunter2@host/: no" >&2; exit 128')
    assert "https://***@host/: no" in node.run(code=3)
    assert "***" in node.status["error"]
    assert not [
        path for path in node.root.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()
    ]


# Over ssh


@pytest.mark.remotes("local")
def test_hostkey_arguments(remote, node):
    noted = node.over_ssh(remote)
    sha = remote.commit("one")
    node.run()
    assert node.published == sha
    arguments = noted.read_text().splitlines()
    assert arguments[:2] == ["-F", "/dev/null"]
    assert {
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "-oUserKnownHostsFile=/etc/airflow/dag_sync/known_hosts",
        "-oGlobalKnownHostsFile=/dev/null",
        "-oIdentitiesOnly=yes",
        "-oIdentityAgent=none",
        "-oIdentityFile=/etc/airflow/dag_sync/id",
        "-oConnectTimeout=10",
    } <= set(arguments)


@pytest.mark.remotes("local")
def test_hostkey_changed(remote, node):
    banner = "\n".join(["@" * 59, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "@" * 59])
    node.over_ssh(
        remote,
        f"cat >&2 <<'.'\n{banner}\nOffending key in known_hosts:1\n"
        "Host key verification failed.\n.\nexit 255",
    )
    assert node.run(code=3) == (
        f"failed: ssh://git@host.invalid{remote.path} cannot be read: "
        "Offending key in known_hosts:1; Host key verification failed.\n"
    )


# When the remote does not answer


def test_remote_down(remote, node, first):
    """The last good release stays, the age grows, and the end of it is said."""
    away = remote.path.with_suffix(".away")
    remote.path.rename(away)
    os.utime(node.root / "last_success", (1e9, 1e9))
    output = node.run(code=3)
    assert output.startswith(f"failed: {remote.url} cannot be read: ")
    assert (node.published, node.content) == (first, "one")
    status = node.status
    assert status["last_success"] == "2001-09-09T01:46:40Z"
    assert status["age_seconds"] > 700_000_000
    assert output == f"failed: {status['error']}\n"
    assert status["error_since"]

    away.rename(remote.path)
    assert f"works again, after failing since {status['error_since']}\n" in node.run()
    status = node.status
    assert (status["error"], status["error_since"]) == (None, None)
    assert status["age_seconds"] < 60


@local
@pytest.mark.parametrize(
    "damage", ["HEAD gone", "stale locks", "packs cut", "packs zeroed", "no repository"]
)
@pytest.mark.parametrize("down_first", [True, False])
def test_repository_damaged(remote, node, damage, down_first):
    """corrupt_repo_remote_down, stale_lock_remote_down: the published tree is not touched."""
    (remote.files / "same").write_text("same")
    first = remote.commit("one")
    node.run()
    if damage == "HEAD gone":
        (node.repository / "HEAD").unlink()
    elif damage == "stale locks":
        for name in ("shallow.lock", "packed-refs.lock", "refs/sync/tip.lock"):
            (node.repository / name).touch()
    elif damage.startswith("packs"):
        for pack in node.repository.glob("objects/pack/*.pack"):
            pack.chmod(0o600)
            size = pack.stat().st_size
            pack.write_bytes(pack.read_bytes()[:40] + bytes(size - 40 if "zero" in damage else 0))
    else:
        node.repository.rename(node.root / "repository.moved")
    before = snapshot(node.releases)
    if down_first:
        away = remote.path.with_suffix(".away")
        remote.path.rename(away)
        node.run(code=3)
        assert (node.published, snapshot(node.releases)) == (first, before)
        away.rename(remote.path)
    sha = remote.commit("two")
    output = node.run()
    assert f"published {sha} (main)" in output
    if damage in ("HEAD gone", "stale locks"):
        assert f"{node.repository} was damaged, made anew: " in output
    assert (node.published, node.content) == (sha, "two")
    assert (node.link / "same").read_text() == "same"
    assert not node.leftovers
    assert "damaged" not in node.run()


@local
def test_release_removed(node, first):
    """Somebody removed the published release: it is made again, without the network's help."""
    (node.releases / first).rename(node.home / "elsewhere")
    assert node.run() == f"published {first} (main)\n"
    assert (node.published, node.content) == (first, "one")


@local
def test_wrong_worktree_hash(remote, node, first):
    """Under the name of a commit there is the tree of another one."""
    second = remote.commit("two")
    node.run()
    for source, target in ((second, "aside"), (first, second), ("aside", first)):
        (node.releases / source).rename(node.releases / target)
    assert f"repaired {second}: edited configs/a.yaml, dags/a.py\n" in node.run()
    assert (node.published, node.content) == (second, "two")
    assert f"repaired {first}: " in node.run("rollback")
    assert (node.published, node.content) == (first, "one")


@local
@pytest.mark.parametrize("target", ["nowhere", ".", "/", ".airflow-git-dir/releases/../releases"])
def test_link_leads_elsewhere(node, first, target):
    """Somebody has set the link: it is set again."""
    node.link.unlink()
    node.link.symlink_to(target)
    assert node.run() == f"published {first} (main)\n"
    assert (node.published, node.content) == (first, "one")


# Beside each other


@local
def test_overlap(remote, node, first):
    remote.commit("two")
    with (node.root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # One that waits would do so for all the time that it has.
        assert node.run() == "busy: another run is at work\n"
        assert node.published == first
    assert node.run().startswith("published")


@local
def test_fetch_beside_a_gate(remote, node, first, tmp_path):
    """A task that lacks a release does not wait for the check of another one."""
    needed = remote.commit("two")
    sha = remote.commit("three")
    begun, end = tmp_path / "begun", tmp_path / "end"
    node.wrap("check", f"touch {begun}; while [ ! -e {end} ]; do sleep 0.05; done")
    node.settings["gate_command"] = [str(node.bin / "check")]
    process = node.start()
    try:
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.02)
        assert node.run("fetch", needed) == f"fetched {needed}\n"
        assert node.run() == "busy: another run is at work\n"
        assert node.published == first
    finally:
        end.touch()
    assert process.communicate(timeout=20) == (f"published {sha} (main)\n", "")
    assert (node.releases / needed / "dags/a.py").read_text() == "two\n"
    assert not node.leftovers


@local
@pytest.mark.usefixtures("first")
def test_leftover_temp_link(remote, node):
    """Also crash before link clean-up: leftovers block nothing, and neighbours are no leftovers."""
    random = "0123456789abcdef"
    left = [
        node.home / f".airflow-git-dir.{random}.tmp",
        node.releases / f".{random}.tmp",
        node.root / f".{random}.tmp",
    ]
    left[0].symlink_to("nowhere")
    (left[1] / "dags").mkdir(parents=True)
    left[2].write_text("{")
    neighbours = [
        node.home / ".airflow-git-dir.bak",
        node.home / f".other.{random}.tmp",
        node.home / f".{random}.tmp",
        node.releases / "README",
    ]
    for path in neighbours:
        path.touch()
    sha = remote.commit("two")
    node.run()
    assert node.published == sha
    assert not any(path.is_symlink() or path.exists() for path in left)
    assert all(path.exists() for path in neighbours)


@local
def test_gc(remote, node, first):
    """The newest stay, the young stay, the published one stays, the rest goes."""
    node.settings |= {"keep_releases": 2}
    shas = [first]
    for number in range(4):
        shas.append(remote.commit(f"{number}"))
        node.run()
    assert {path.name for path in node.releases.iterdir()} == set(shas)
    for sha in shas[:3]:
        node.age(sha, LONG_AGO)
    shas.append(remote.commit("last"))
    output = node.run()
    assert f"removed {first}, last used 100 days ago\n" in output
    assert {path.name for path in node.releases.iterdir()} == set(shas[3:])
    assert not node.leftovers


@local
def test_gc_counts_from_the_last_publication(remote, node, first):
    """A release that was published for long is young when the next one replaces it."""
    node.settings |= {"keep_releases": 1}
    node.age(first, LONG_AGO)
    remote.commit("two")
    node.run()
    assert (node.releases / first).is_dir()


@local
def test_gc_in_use(remote, node, first):
    """A release that a reader holds survives; and goes when it is let go."""
    node.settings |= {"keep_releases": 1, "keep_days": 0}
    held = os.open(node.releases / first, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_SH)
    second = remote.commit("two")
    node.run()
    assert (node.releases / first / "dags/a.py").read_text() == "one\n"
    os.close(held)
    third = remote.commit("three")
    assert f"removed {first}" in node.run()
    assert not (node.releases / first).exists()
    assert not (node.releases / second).exists()
    assert node.published == third


@local
def test_torn_read_pinned(remote, node):
    """A reader that follows the link once, and holds what it found, never sees two releases."""
    node.settings |= {"keep_releases": 1, "keep_days": 0}
    for number in range(20):
        (remote.files / f"{number}").write_text("0")
    remote.commit("0")
    node.run()
    end = threading.Event()
    seen = []

    def read():
        while not end.is_set():
            path = os.path.realpath(node.link)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if not os.path.samestat(os.fstat(descriptor), Path(path).stat()):
                    continue
                seen.append({Path(path, f"{number}").read_text() for number in range(20)})
            except FileNotFoundError as error:
                if Path(error.filename) != Path(path):
                    seen.append({"a file is gone"})
            finally:
                os.close(descriptor)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for commit in range(1, 100):
            for number in range(20):
                (remote.files / f"{number}").write_text(f"{commit}")
            remote.commit(f"{commit}")
            node.run()
            if commit >= 8 and len(seen) * 20 >= 10_000:
                break
    finally:
        end.set()
        for reader in readers:
            reader.join()
    assert len(seen) * 20 >= 10_000
    assert [contents for contents in seen if len(contents) != 1] == []
    assert len(set.union(*seen)) >= 8


# The other commands


@local
def test_status_before_the_first_sync(node):
    status = node.status
    assert set(status) == {
        "published", "published_since", "seen", "previous", "pinned", "blocked", "last_success",
        "age_seconds", "error", "error_since", "warnings", "failures", "repairs", "releases",
        "pinned_since",
    }  # fmt: skip
    assert not any(status.values())
    assert not node.root.exists()


@local
def test_status(node, first):
    status = node.status
    assert (status["published"], status["seen"], status["pinned"]) == (first, first, None)
    assert 0 <= status["age_seconds"] < 60


@local
@pytest.mark.parametrize("state", ["", "[]", "{"])
def test_state_lost(node, first, state):
    (node.root / "state.json").write_text(state)
    assert node.run().startswith(f"unchanged {first}")
    assert node.status["seen"] == first


@pytest.mark.parametrize(
    "server",
    [
        "gives any commit",
        pytest.param("gives only tips", marks=pytest.mark.remotes("local")),
    ],
)
def test_fetch(remote, node, first, server):
    """Bring a commit that is not the tip, publish nothing; the second time without network."""
    sha = remote.commit("two")
    remote.commit("three")
    if server == "gives only tips":
        node.over_ssh(remote, 'exec env --unset=GIT_PROTOCOL sh -c "$command"')
    assert node.run("fetch", sha) == f"fetched {sha}\n"
    assert (node.releases / sha / "dags/a.py").read_text() == "two\n"
    assert node.published == first
    remote.path.rename(remote.path.with_suffix(".away"))
    node.age(sha, LONG_AGO)
    assert node.run("fetch", sha) == f"present {sha}\n"
    assert time.time() - (node.releases / sha).stat().st_mtime < 60


def test_fetch_before_the_first_sync(remote, node):
    sha = remote.commit("one")
    remote.commit("two")
    node.run("fetch", sha)
    assert (node.releases / sha).is_dir()
    assert not node.link.is_symlink()


@pytest.mark.usefixtures("first")
def test_fetch_of_an_unknown_commit(node):
    before = node.repository.stat().st_ino
    assert "has no commit" in node.run("fetch", "0" * 40, code=2)
    assert node.repository.stat().st_ino == before
    assert not node.leftovers
    assert "is not the 40 characters of a commit" in node.run("fetch", "main", code=2)


@local
@pytest.mark.usefixtures("first")
def test_fetch_waits_for_a_run_that_brings_a_release(remote, node):
    sha = remote.commit("two")
    with (node.root / "repository.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = node.start("fetch", sha)
        time.sleep(0.3)
        assert process.poll() is None
    assert process.communicate(timeout=20) == (f"fetched {sha}\n", "")


@local
@pytest.mark.usefixtures("first")
def test_fetch_waits_no_longer_than_its_time(remote, node):
    sha = remote.commit("two")
    node.settings["timeout_seconds"] = 1
    with (node.root / "repository.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert node.run("fetch", sha, code=1) == "failed: another run is at work\n"


@local
def test_rollback(remote, node, first):
    """Without network, and until unpin; what comes meanwhile is seen and not published."""
    second = remote.commit("two")
    node.run()
    away = remote.path.with_suffix(".away")
    remote.path.rename(away)
    output = node.run("rollback")
    assert output == f"published {first} (pinned until `airflow-dag-sync unpin`)\n"
    assert (node.published, node.content) == (first, "one")
    assert "name the release" in node.run("rollback", code=2)
    away.rename(remote.path)
    third = remote.commit("three")
    assert node.run().startswith(f"unchanged {first} (pinned")
    status = node.status
    assert (status["seen"], status["pinned"]) == (third, first)
    node.run("rollback", second)
    assert node.published == second
    assert node.run("unpin") == f"unpinned {second}\n"
    assert node.run("unpin") == "unchanged: nothing was pinned\n"
    assert node.published == second
    node.run()
    assert (node.published, node.content) == (third, "three")


@local
def test_rollback_to_nothing(remote, node, first):
    output = node.run("rollback", code=2)
    assert output == f"failed: there is no release before the published one here, only: {first}\n"
    sha = remote.commit("two")
    assert f"no release {sha} here" in node.run("rollback", sha, code=2)
    assert node.status["pinned"] is None


# Under cron


@local
@pytest.mark.usefixtures("first")
def test_cron_says_each_error_once_an_hour(remote, node, tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import runpy, sys, syslog\n"
        "syslog.syslog = lambda priority, message: print(priority, message)\n"
        "sys.argv.pop(0)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )

    def tick(code=0):
        return node.run("--splay", code=code, driver=(driver, PROGRAM)).splitlines()

    assert tick() == []
    away = remote.path.with_suffix(".away")
    remote.path.rename(away)
    lines = tick(3)
    assert len(lines) == 1
    assert lines[0].startswith("3 failed: ")
    assert tick(3) == []
    state = json.loads((node.root / "state.json").read_text())
    state["error"]["reported"] -= 3600
    (node.root / "state.json").write_text(json.dumps(state))
    assert tick(3) == lines
    node.settings["ref"] = "gone"
    away.rename(remote.path)
    assert tick(2)[0].endswith("has no branch or tag gone; it has main")
    node.settings["ref"] = "main"
    assert [line[:13] for line in tick()] == ["6 works again"]
    assert tick() == []


@local
def test_errors_that_differ_in_a_number_are_the_same():
    one, two = (f"Failed to connect to host port 443 after {ms} ms" for ms in (12, 137))
    assert without_numbers(one) == without_numbers(two)
    assert without_numbers(one) != without_numbers("No route to host")


@local
@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ("", ""),
        ("fatal: no\n", "fatal: no"),
        (
            "git@host: Permission denied (publickey).\nfatal: Could not read from remote "
            "repository.\n\nPlease make sure you have the correct access rights\n"
            "and the repository exists.\n",
            "git@host: Permission denied (publickey).",
        ),
        ("fatal: Could not read from remote repository.\n", None),
        ("a\nb\nc\n", "b; c"),
    ],
)
def test_reason(errors, said):
    assert reason(errors) == (errors.strip() if said is None else said)
