"""One secret in one file: the scenarios, on the real file system."""

import json
import os
import stat
import threading

import pytest
from credential_testing import (
    GROUP,
    NOBODY,
    Module,
    execute,
    grant_to_nobody,
    killed_at_each_call,
    tree,
    widest_modes,
)

SECRET = "hunter-22\n"
CALLS = ["write", "renameat", "fchmod", "fchown", "fsync", "unlinkat"]


@pytest.fixture
def path(place):
    return place / "key"


@pytest.fixture
def write(path):
    return Module(
        "secret_file", path=str(path), content=SECRET, owner=str(NOBODY), group=str(GROUP)
    )


def test_created(path, write):
    assert write()["changes"] == ["created"]
    status = path.stat()
    assert path.read_text() == SECRET
    assert (status.st_uid, status.st_gid) == (NOBODY, GROUP)
    assert stat.S_IMODE(status.st_mode) == 0o400


def test_idempotent(place, write):
    write()
    before = tree(place)
    result = write()
    assert result["changed"] is False
    assert result["changes"] == []
    assert tree(place) == before


@pytest.mark.parametrize(
    ("drift", "kinds"),
    [
        (lambda path: path.chmod(0o644), ["mode"]),
        (lambda path: os.chown(path, 0, GROUP), ["owner"]),
        (lambda path: os.chown(path, NOBODY, 0), ["group"]),
        (lambda path: path.write_text("another"), ["content"]),
        (lambda path: path.write_text("HUNTER-22\n"), ["content"]),
        (lambda path: os.link(path, path.with_name("another")), ["links"]),
        (lambda path: grant_to_nobody(path, "access"), ["mode", "acl"]),
    ],
    ids=["drift_mode", "drift_owner", "drift_group", "drift_content", "size", "hardlink", "acl"],
)
def test_drift(path, write, drift, kinds):
    write()
    drift(path)
    inode = path.stat().st_ino
    assert write(check=True)["changes"] == kinds
    assert write()["changes"] == kinds
    status = path.stat()
    assert path.read_text() == SECRET
    assert (status.st_uid, status.st_gid, status.st_nlink) == (NOBODY, GROUP, 1)
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert status.st_ino != inode
    assert write()["changed"] is False


@pytest.fixture
def victim(place):
    """Return a file outside; the test fails when anything about it has changed."""
    directory = place / "outside"
    directory.mkdir()
    file = directory / "key"
    file.write_text("victim")
    before = tree(directory)
    yield file
    assert tree(directory) == before


@pytest.mark.parametrize("state", ["present", "absent"])
def test_symlink_dest(path, write, victim, state):
    path.symlink_to(victim)
    assert "a symbolic link" in write.fails(state=state)
    assert path.is_symlink()


def test_symlink_parent(place, write, victim):
    (place / "parent").symlink_to(victim.parent)
    message = write.fails(path=str(place / "parent/key"))
    assert f"{place}/parent is a symbolic link" in message
    assert "give the real path" in message


def test_hardlink(path, write, victim):
    os.link(victim, path)
    assert write()["changed"] is True
    assert path.read_text() == SECRET


def test_fifo(path, write):
    """Something that can't be read to its end doesn't hold the module up."""
    os.mkfifo(path)
    assert "not a regular file" in write.fails()


def test_swapped_meanwhile(place, path, write, victim):
    """In a directory of another account, whose process swaps the file for links all the time."""
    os.chown(place, NOBODY, NOBODY)
    ended = threading.Event()
    aside = place / "aside"

    def swap():
        while not ended.is_set():
            aside.unlink(missing_ok=True)
            aside.symlink_to(victim)
            aside.rename(path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        messages = [
            execute("secret_file", {**write.arguments, "content": str(number)}).stdout
            for number in range(1, 20)
        ]
    finally:
        ended.set()
        thread.join()
    assert all("symbolic link" in m or '"changed": true' in m for m in messages), messages


def test_default_acl(place, path, write):
    grant_to_nobody(place, "default")
    write(owner="0", mode="0440")
    assert "system.posix_acl_access" not in os.listxattr(path)


def test_create_mode_race(place, write):
    ended = threading.Event()
    seen = [0]

    def poll():
        while not ended.is_set():
            seen[0] |= widest_modes(place)[0]

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        for number in range(20):
            write(content=str(number), mode="0440")
    finally:
        ended.set()
        thread.join()
    assert seen[0] & ~0o440 == 0, f"{seen[0]:o}"
    assert seen[0]


def test_leftover_tmp(place, path, write):
    write()
    (place / ".key.0123456789abcdef.tmp").write_text("half a sec")
    neighbours = [".key.0123456789abcdef", ".other.0123456789abcdef.tmp", "key.bak"]
    for name in neighbours:
        (place / name).write_text("unmanaged_file")
    assert write(check=True)["changes"] == ["leftover"]
    assert write()["changes"] == ["leftover"]
    assert {file.name for file in place.iterdir()} == {path.name, *neighbours}


def test_kill9_midway(place, path, write):
    """Killed before any call that changes something: the old secret or the new, no wider mode."""

    def prepare():
        write(content="old")

    calls = []
    for call in killed_at_each_call(
        "secret_file", {**write.arguments, "content": "new"}, CALLS, prepare
    ):
        calls.append(call)
        assert path.read_text() in ("old", "new"), call
        assert widest_modes(place)[0] & ~0o400 == 0, call
    names = [call.split()[1].split("(")[0] for call in calls]
    assert {"fchmod", "fchown"} < set(names)
    rename = names.index("renameat")
    assert names[rename - 1 : rename + 2] == ["fsync", "renameat", "fsync"]
    write()
    assert [file.name for file in place.iterdir()] == ["key"]


def test_check_mode(place, write):
    assert write(check=True)["changes"] == ["created"]
    assert list(place.iterdir()) == []
    write()
    before = tree(place)
    assert write(check=True, content="new")["changes"] == ["content"]
    assert write(check=True, state="absent")["changes"] == ["removed"]
    assert tree(place) == before


@pytest.mark.parametrize(
    "changes", [{"owner": "not-made-yet"}, {"path": "/nowhere/key"}], ids=["account", "directory"]
)
def test_check_mode_on_a_fresh_node(write, changes):
    assert write(check=True, **changes)["changes"] == ["created"]


def test_absent(place, write):
    write()
    assert write(state="absent", content=None)["changes"] == ["removed"]
    assert list(place.iterdir()) == []
    assert write(state="absent", content=None)["changed"] is False
    assert write(state="absent", content=None, path="/nowhere/key")["changed"] is False


def test_result_has_no_secret(write):
    write(content="old-s3cret")
    done = execute("secret_file", {**write.arguments, "content": "new-s3cret"})
    assert json.loads(done.stdout)["diff"]["before"] == {"content": "another"}
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("content", ["${x} {{ y }} 'z' \"q\" \\", "ü密🔑\n\n", "x" * 65_536])
def test_odd_values(path, write, content):
    write(content=content)
    assert path.read_text() == content
    assert write(content=content)["changed"] is False


def test_content_that_is_no_text(write):
    arguments = {**write.arguments, "content": "\ud800"}
    done = execute("secret_file", arguments, wrapper=["env"])
    assert json.loads(done.stdout)["msg"].endswith("key: content is no valid Unicode text")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "0404"}, "mode '0404': a secret grants nothing to others"),
        ({"mode": "0420"}, "no writing to its group"),
        ({"mode": "0000"}, "mode '0000'"),
        ({"mode": "4400"}, "write it as a quoted octal number"),
        ({"mode": 0o600}, "write it as a quoted octal number"),
        ({"mode": 0o640}, "a number without quotes is read as a decimal one"),
        ({"mode": "u=r"}, "write it as a quoted octal number"),
        ({"content": ""}, "content is missing or empty"),
        ({"content": None}, "content is missing or empty"),
        ({"path": "key"}, "'key': give an absolute path"),
        ({"path": "/srv//key"}, "give an absolute path"),
        ({"path": "/nowhere/key"}, "/nowhere does not exist: create it first"),
        ({"owner": "no-such-user"}, "/key: there is no user 'no-such-user' on this host"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_messages(place, write, changes, message):
    assert message in write.fails(**changes)
    assert list(place.iterdir()) == []
