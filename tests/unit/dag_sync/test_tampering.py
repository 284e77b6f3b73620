"""What somebody else has changed in the published release is found, repaired and told."""

import fcntl
import os
import shutil
import subprocess
import threading
import time

import pytest

ODD = [b"dags/a b.py", b"dags/new\nline.py", b"dags/\xff\xfe.py", "dags/ö \N{SNOWMAN}.py".encode()]


def publish_all_kinds(remote, node):
    """Publish a release with something of each kind; return its sha."""
    remote.write("bin/run", "#!/bin/sh\n", mode=0o755)
    remote.write("lib/deep/er/x.py", "x = 1\n")
    remote.write("lib/crlf.txt", "one\r\ntwo\r\n")
    remote.write(".gitattributes", "*.txt text eol=crlf\n")
    (remote.files / "latest").symlink_to("configs/a.yaml")
    for name in ODD:
        remote.write(os.fsdecode(name), "x = 1\n")
    sha = remote.commit("one")
    node.run()
    assert (node.link / "lib/crlf.txt").read_bytes() == b"one\r\ntwo\r\n"
    return sha


@pytest.fixture
def published(remote, node):
    return publish_all_kinds(remote, node)


@pytest.fixture(scope="module")
def as_published(shared_pair):
    """Publish once for many tests; return the node, the sha, and what was published."""
    remote, node = shared_pair
    sha = publish_all_kinds(remote, node)
    return node, sha, node.tree


def rewrite(path, text="evil\n"):
    """Change a file, and hide it as well as anybody could: same size, same times."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_folder(path):
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


def replace_by_link(path, target):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)


def replace_by_file(path):
    shutil.rmtree(path)
    path.write_text("x")


def add_folder(path):
    (path / "deep").mkdir(parents=True)
    (path / "deep/x.py").write_text("x")
    (path / "empty").mkdir()


TAMPERING = {
    "tamper_edit": (lambda at: rewrite(at / "dags/a.py"), "edited dags/a.py"),
    "same size": (lambda at: rewrite(at / "dags/a.py", "eno\n"), "edited dags/a.py"),
    "appended": (lambda at: (at / "dags/a.py").open("a").write("#"), "edited dags/a.py"),
    "emptied": (lambda at: os.truncate(at / "dags/a.py", 0), "edited dags/a.py"),
    "other line ends": (lambda at: rewrite(at / "dags/a.py", "one\r\n"), "edited dags/a.py"),
    "tamper_delete": (lambda at: (at / "dags/a.py").unlink(), "missing dags/a.py"),
    "folder deleted": (lambda at: shutil.rmtree(at / "lib/deep"), "missing lib/deep/er/x.py"),
    "all deleted": (
        lambda at: [shutil.rmtree(at / name) for name in ("bin", "configs", "dags", "lib")],
        "missing bin/run, configs/a.yaml, dags/a b.py, dags/a.py, dags/new line.py and 4 more",
    ),
    "added file": (lambda at: (at / "dags/b.py").write_text("x"), "added dags/b.py"),
    "added folder": (lambda at: add_folder(at / "evil"), "added evil"),
    "added empty folder": (lambda at: (at / "dags/evil").mkdir(), "added dags/evil"),
    "added folder named .git": (lambda at: add_folder(at / "dags/.git"), "added dags/.git"),
    "added link": (lambda at: (at / "dags/b").symlink_to("/etc"), "added dags/b"),
    "added pipe": (lambda at: os.mkfifo(at / "dags/b.py"), "added dags/b.py"),
    "ignored": (
        lambda at: [(at / ".gitignore").write_text("*"), (at / "dags/b.py").write_text("x")],
        "added .gitignore, dags/b.py",
    ),
    "repository": (
        lambda at: subprocess.run(["git", "init", "--quiet", at / "dags/sub"], check=True),
        "added dags/sub",
    ),
    "renamed": (
        lambda at: (at / "dags/a.py").rename(at / "dags/b.py"),
        "added dags/b.py, missing dags/a.py",
    ),
    "executable": (lambda at: (at / "dags/a.py").chmod(0o750), "edited dags/a.py"),
    "not executable": (lambda at: (at / "bin/run").chmod(0o640), "edited bin/run"),
    "writable": (lambda at: (at / "dags/a.py").chmod(0o666), "mode of dags/a.py"),
    "unreadable": (lambda at: (at / "dags/a.py").chmod(0), "mode of dags/a.py"),
    "set-user-ID": (lambda at: (at / "bin/run").chmod(0o4750), "mode of bin/run"),
    "folder's mode": (lambda at: (at / "dags").chmod(0), "mode of dags"),
    "release's mode": (lambda at: at.chmod(0o777), "mode of ."),
    "file to folder": (lambda at: replace_by_folder(at / "dags/a.py"), "dags/a.py"),
    "file to link": (lambda at: replace_by_link(at / "dags/a.py", "/etc/passwd"), "dags/a.py"),
    "file to pipe": (
        lambda at: [(at / "dags/a.py").unlink(), os.mkfifo(at / "dags/a.py")],
        "dags/a.py",
    ),
    "folder to file": (lambda at: replace_by_file(at / "lib"), "added lib, missing lib/crlf.txt"),
    "folder to link": (
        lambda at: replace_by_link(at / "configs", at / "dags"),
        "added configs, missing configs/a.yaml",
    ),
    "link to file": (
        lambda at: [(at / "latest").unlink(), (at / "latest").write_text("configs/a.yaml")],
        "edited latest",
    ),
    "link to folder": (lambda at: replace_by_folder(at / "latest"), "latest"),
    "link elsewhere": (lambda at: replace_by_link(at / "latest", "/etc/passwd"), "edited latest"),
    "odd names edited": (
        lambda at: [rewrite(at / os.fsdecode(name)) for name in ODD],
        "edited dags/a b.py, dags/new line.py, dags/ö ☃.py, dags/��.py",
    ),
    "odd names deleted": (
        lambda at: [(at / os.fsdecode(name)).unlink() for name in ODD],
        "missing dags/a b.py, dags/new line.py, dags/ö ☃.py, dags/��.py",
    ),
    "odd names added": (
        lambda at: [(at / os.fsdecode(b"evil" + name[5:])).write_text("x") for name in ODD],
        "added evila b.py, evilnew line.py, evilö ☃.py, evil��.py",
    ),
    "line ends": (lambda at: rewrite(at / "lib/crlf.txt", "one\n"), "edited lib/crlf.txt"),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering(as_published, name):
    """One tick later it is as it was, and that is told once."""
    node, sha, before = as_published
    release = node.releases / sha
    if node.tree != before:  # after a test that failed
        shutil.rmtree(release)
        node.run()
    repairs, inode = node.state.get("repairs", 0), release.stat().st_ino
    # A reader that holds the release goes on holding it.
    held = os.open(release, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_SH)
    tamper, told = TAMPERING[name]
    tamper(release)
    unchanged, repaired = node.run().splitlines()
    assert unchanged == f"unchanged {sha} (main)"
    assert repaired.startswith(f"repaired {sha}: ")
    assert told in repaired
    assert node.tree == before
    assert release.stat().st_ino == inode
    os.close(held)
    assert node.run() == f"unchanged {sha} (main)\n"
    assert node.state["repairs"] == repairs + 1
    assert not node.leftovers


def test_tampering_hidden_by_attributes(node, published):
    """What makes git call an edited file unchanged is gone first."""
    before = node.tree
    at = node.releases / published
    (at / "dags/.gitattributes").write_text("*.py text\n")
    (at / "dags/a.py").write_bytes(b"one\r\n")
    output = node.run() + node.run()
    assert "added dags/.gitattributes" in output
    assert "edited dags/a.py" in output
    assert node.tree == before


@pytest.mark.parametrize(
    "attributes", ["*.py text\n", "*.py text eol=crlf\n", "*.py ident\n", "*.py filter=x\n"]
)
def test_tampering_hidden_by_edited_attributes(remote, node, attributes):
    """The attributes of the commit count, not those that somebody has written since."""
    remote.write(".gitattributes", "*.txt text\n")
    sha = remote.commit("one")
    node.run()
    before = node.tree
    (node.link / ".gitattributes").write_text(attributes)
    (node.link / "dags/a.py").write_bytes(b"one\r\n")
    output = node.run()
    assert f"repaired {sha}: edited .gitattributes, dags/a.py" in output
    assert node.tree == before
    assert node.run() == f"unchanged {sha} (main)\n"


@pytest.mark.parametrize("attributes", ["*.csv text\n", "*.csv text=auto\n", "*.csv eol=lf\n"])
def test_line_ends_of_the_commit_are_no_tampering(remote, node, attributes):
    """A file with CRLF in the commit that git would write otherwise if it were added now."""
    crlf = remote.git("hash-object", "-w", "--no-filters", "--stdin", input="a\r\nb\r\n")
    remote.write(".gitattributes", attributes)
    remote.commit("one")
    remote.git("update-index", "--add", "--cacheinfo", f"100644,{crlf},a.csv")
    remote.git("commit", "--quiet", "--message", "two")
    sha = remote.git("rev-parse", "HEAD")
    node.run()
    written = (node.link / "a.csv").read_bytes()
    (node.link / "dags/a.py").write_text("evil\n")
    assert node.run().splitlines()[1:] == [f"repaired {sha}: edited dags/a.py"]
    assert (node.link / "a.csv").read_bytes() == written
    assert node.run() == f"unchanged {sha} (main)\n"


@pytest.mark.parametrize("repository", ["as it was", "gone", "without objects"])
def test_tampering_while_the_remote_is_down(remote, node, published, repository):
    """With git's objects here no network is needed; without, it is told, and repaired later."""
    before = node.tree
    (node.link / "dags/a.py").write_text("evil\n")
    (node.link / "configs/a.yaml").unlink()
    if repository == "gone":
        shutil.rmtree(node.repository)
    elif repository == "without objects":
        shutil.rmtree(node.repository / "objects/pack")
    with remote.down():
        output = node.run(code=3)
        told = f"repaired {published}: edited dags/a.py, missing configs/a.yaml"
        if repository == "as it was":
            assert told in output
            assert node.tree == before
        else:
            assert "cannot be" in output
            assert node.published == published
    output = node.run()
    assert node.tree == before
    if repository != "as it was":
        assert told in output
    assert node.run() == f"unchanged {published} (main)\n"
    assert node.status["repairs"] == 1


def test_tampering_and_a_newer_commit(remote, node, published):
    """Damage that cannot be repaired does not keep the next commit away."""
    shutil.rmtree(node.repository)
    (node.link / "dags/a.py").write_text("evil\n")
    # The server has a new history, without what is published.
    remote.git("update-ref", "-d", "refs/heads/main")
    remote.git("reflog", "expire", "--expire=now", "--all")
    remote.git("gc", "--quiet", "--prune=now")
    output = node.run(code=2)
    assert node.published == published
    sha = remote.commit("two")
    output = node.run()
    assert f"published {sha} (main)\n" in output
    assert node.content == "two"
    assert node.run() == f"unchanged {sha} (main)\n"


def test_tampering_that_cannot_be_repaired(remote, node, published):
    """It is an error, each time, as long as it is so."""
    shutil.rmtree(node.repository)
    (node.link / "dags/a.py").write_text("evil\n")
    other = remote.commit("two")
    remote.git("update-ref", "refs/heads/main", published)
    node.wrap("git", 'case " $* " in *" read-tree "*) exit 128 ;; esac\n'
                     'PATH=${PATH#*:}\nexec git "$@"')  # fmt: skip
    for _ in range(2):
        output = node.run(code=1)
        assert f"{node.releases / published} was changed and cannot be repaired" in output
        assert node.content == "evil"
    assert "cannot be repaired" in node.status["error"]
    node.bin.joinpath("git").unlink()
    assert f"repaired {published}: edited dags/a.py" in node.run()
    assert node.content == "one"
    assert other != published


@pytest.mark.parametrize("pinned", [False, True])
def test_tampering_in_what_is_published_next(remote, node, first, pinned):
    """An older release that is published again is looked at first."""
    remote.commit("two")
    node.run()
    (node.releases / first / "dags/a.py").write_text("evil\n")
    if pinned:
        output = node.run("rollback", first)
    else:
        remote.git("update-ref", "refs/heads/main", first)
        output = node.run()
    published, repaired = output.splitlines()
    assert published.startswith(f"published {first} ")
    assert repaired == f"repaired {first}: edited dags/a.py"
    assert node.content == "one"


def test_nothing_changed_copy(node, published):
    """Restored from a backup, touched, or on another disk: the same files are no tampering."""
    before = node.tree
    subprocess.run(["cp", "-a", node.home, node.home.with_name("copy")], check=True)
    shutil.rmtree(node.home)
    node.home.with_name("copy").rename(node.home)
    assert node.run() == f"unchanged {published} (main)\n"
    for path in node.link.resolve().rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    os.utime(node.link.resolve())
    assert node.run() == f"unchanged {published} (main)\n"
    assert node.status["repairs"] == 0
    assert node.tree == before
    # Once it was looked at, the next run looks at no content.
    state = node.state_file.stat()
    node.run()
    assert node.state_file.stat().st_ino == state.st_ino


def test_repair_is_whole(remote, node):
    """Whoever reads a file while it is repaired sees the old or the new one, never a part."""
    content = "x" * (8 << 20)
    remote.write("large", content)
    first = remote.commit("one")
    node.run()
    file = node.releases / first / "large"
    file.write_text("evil")
    end, seen = threading.Event(), set()

    def read():
        while not end.is_set():
            try:
                seen.add(len(file.read_bytes()))
            except FileNotFoundError:
                seen.add("gone")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        node.run()
        time.sleep(0.05)
    finally:
        end.set()
        reader.join()
    assert seen == {4, len(content)}


def test_repair_is_counted_and_told_by_cron(node, published, tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import runpy, sys, syslog\n"
        "syslog.syslog = lambda priority, message: print(priority, message)\n"
        "sys.argv.pop(0)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    program = node.program
    for count in (1, 2):
        (node.link / "dags/a.py").unlink()
        output = node.run("--splay", driver=(driver, program))
        assert output == f"4 repaired {published}: missing dags/a.py\n"
        assert node.status["repairs"] == count
