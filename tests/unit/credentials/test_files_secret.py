"""A secret that the module files writes: the scenarios, on the real file system."""

import contextlib
import errno
import json
import os
import stat

import pytest
from credential_testing import (
    GROUP,
    NOBODY,
    Module,
    Traced,
    execute,
    grant_to_nobody,
    other_process,
    tree,
    widest_modes,
)

SECRET = "hunter-22\n"


@pytest.fixture
def path(place):
    return place / "key"


class OneSecret(Module):
    """The module for one file, of which alone its result is told."""

    def __init__(self, path, **arguments):
        super().__init__("files", path=str(path), secret=True, **arguments)

    def given(self, **changes):
        file = super().given(**changes)
        return {"files": [{key: value for key, value in file.items() if value is not None}]}

    def __call__(self, **changes):
        result = super().__call__(**changes)
        (result["changes"],) = [*result["changes"].values()] or [[]]
        return result


@pytest.fixture
def write(path):
    return OneSecret(path, content=SECRET, owner=str(NOBODY), group=str(GROUP))


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


@pytest.mark.parametrize("state", ["file", "absent"])
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
    aside = place / "aside"

    def swap():
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
            aside.symlink_to(victim)
            aside.rename(path)

    with other_process(swap, account=NOBODY) as end:
        messages = [
            execute("files", write.given(content=str(number))).stdout for number in range(1, 20)
        ]
        assert end() == []
    assert all("symbolic link" in m or '"changed": true' in m for m in messages), messages


def test_default_acl(place, path, write):
    grant_to_nobody(place, "default")
    write(owner="0", mode="0440")
    assert "system.posix_acl_access" not in os.listxattr(path)


def test_create_mode_race(place, write):
    with other_process(lambda: widest_modes(place)[0]) as end:
        for number in range(20):
            write(content=str(number), mode="0440")
        seen = end()
    assert any(seen)
    assert not [mode for mode in seen if mode & ~0o440]


def test_leftover_tmp(place, path, write):
    write()
    (place / ".key.0123456789abcdef.tmp").write_text("half a sec")
    neighbours = [".key.0123456789abcdef", ".other.0123456789abcdef.tmp", "key.bak"]
    for name in neighbours:
        (place / name).write_text("unmanaged_file")
    assert write(check=True)["changes"] == ["leftover"]
    assert write()["changes"] == ["leftover"]
    assert {file.name for file in place.iterdir()} == {path.name, *neighbours}


@pytest.fixture
def traced(place, write):
    return Traced("files", write.given(content="new"), place)


@pytest.mark.parametrize("before", ["old", None])
def test_kill9_midway(place, path, write, traced, before):
    """Killed at any call that changes something: the old secret or the new, no wider mode."""

    def prepare():
        write(content=before) if before else write(content=None, state="absent")

    prepare()
    calls = traced.calls()
    for call in calls:
        prepare()
        assert traced.broken(call, "signal=KILL").returncode == -9, call
        assert (path.read_text() if path.exists() else None) in (before, "new"), call
        assert widest_modes(place)[0] & ~0o400 == 0, call
        write(content="new")
        assert [file.name for file in place.iterdir()] == ["key"]
    names = [name for name, _, _ in calls]
    assert {"openat", "write", "fchmod", "fchown"} < set(names)
    assert names[-3:] == ["fsync", "renameat", "fsync"]


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_failing_calls(place, path, write, traced, error):
    """A disk that is full, broken or used up at any call: a message, and the old secret whole."""
    write(content="old")
    # Whether there was an access list to remove, the comparison of the next run finds out.
    calls = [call for call in traced.calls() if call[0] != "fremovexattr"]
    write(content="old")
    for call in calls:
        done = traced.broken(call, f"error={error}")
        assert os.strerror(getattr(errno, error)) in json.loads(done.stdout)["msg"], call
        # What can't be brought to the disk behind the renaming is there all the same.
        assert path.read_text() == ("new" if call == calls[-1] else "old"), call
        assert [file.name for file in place.iterdir()] == ["key"], call


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


def test_result_has_no_secret(path, write):
    write(content="old-s3cret")
    done = execute("files", write.given(content="new-s3cret"))
    assert json.loads(done.stdout)["diff"] == [
        {
            "before": {str(path): {"content": "another"}},
            "after": {str(path): {"content": "as given"}},
        }
    ]
    assert "s3cret" not in done.stdout + done.stderr


def test_result_is_not_garbled(path, write):
    """As masking a short secret wherever it occurs would do."""
    result = write(content="key")
    assert list(result["diff"][0]["before"]) == [str(path)]
    assert result["invocation"]["module_args"]["files"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_content_that_is_a_number(path, write):
    write(content=4711)
    assert path.read_text() == "4711"


@pytest.mark.parametrize("content", ["${x} {{ y }} 'z' \"q\" \\", "ü密🔑\n\n", "x" * 65_536])
def test_odd_values(path, write, content):
    write(content=content)
    assert path.read_text() == content
    assert write(content=content)["changed"] is False


def test_content_that_is_no_text(write):
    done = execute("files", write.given(content="\ud800"), wrapper=["env"])
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
