# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that the module files makes. What others put in the way: tests/attacks."""

import os
import pwd
import stat

import pytest
from ansible_collections.caspian.airflow.plugins.module_utils.account_directories import parse_mode
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import LockedFileError

OWNER = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")


@pytest.fixture
def run(run_files):
    """Return a function that runs the module for the directories."""

    def run(*directories, check=False):
        return run_files(*({**one, "state": "directory"} for one in directories), check=check)

    return run


def wanted(path, mode="0750"):
    return {"path": str(path), "owner": "nobody", "group": "nogroup", "mode": mode}


def attributes(path):
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


@needs_root
def test_made_in_order_and_then_unchanged(place, run):
    home, inner = place / "home", place / "home/state/alerts"
    directories = [
        wanted(home),
        wanted(inner, "0700"),
        {"path": str(place / "etc"), "mode": "0755"},
    ]
    result = run(*directories)
    assert result["changes"] == {
        path: ["state"] for path in (str(home), str(inner), f"{place}/etc")
    }
    assert result["diff"][0]["before"][str(home)] == {"state": "absent"}
    assert result["diff"][0]["after"][str(home)] == {"state": "directory"}
    assert attributes(home) == (OWNER.pw_uid, OWNER.pw_gid, 0o750)
    assert attributes(inner) == (OWNER.pw_uid, OWNER.pw_gid, 0o700)
    assert attributes(inner.parent) == (OWNER.pw_uid, OWNER.pw_gid, 0o755), "made as the account"
    assert attributes(place / "etc") == (0, 0, 0o755)
    again = run(*directories)
    assert again["changed"] is False
    assert again["changes"] == {}
    assert again["diff"] == []


@needs_root
def test_group_and_mode_are_repaired(place, run):
    home = place / "home"
    run(wanted(home), wanted(home / "alerts"))
    for path in (home, home / "alerts"):
        path.chmod(0o777)
        os.chown(path, OWNER.pw_uid, 1)
    result = run(wanted(home), wanted(home / "alerts"))
    assert result["changes"] == {str(path): ["group", "mode"] for path in (home, home / "alerts")}
    assert result["diff"][0]["before"][str(home)] == {"group": "1", "mode": "0777"}
    assert attributes(home / "alerts") == (OWNER.pw_uid, OWNER.pw_gid, 0o750)


@needs_root
def test_a_new_mount_point_is_taken(place, run):
    (place / "logs/lost+found").mkdir(parents=True)
    assert run(wanted(place / "logs"))["changes"] == {f"{place}/logs": ["owner", "group", "mode"]}


@needs_root
def test_links_of_root_are_followed(place, run):
    """A site may have /home on another disk."""
    (place / "disk/home").mkdir(parents=True)
    (place / "home").symlink_to("disk/home")
    (place / "absolute").symlink_to(place / "home")
    run(wanted(place / "home/one"), wanted(place / "absolute/two"))
    (place / "last").symlink_to("disk/new")
    run(wanted(place / "last"))
    for name in ("home/one", "home/two", "new"):
        assert attributes(place / "disk" / name)[0] == OWNER.pw_uid


@needs_root
def test_links_in_a_circle(place, run):
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    assert run(wanted(place / "a/x"))["msg"] == f"{place}/a/x: the links on the way do not end"


@needs_root
def test_check_mode(place, run):
    home = place / "home"
    assert run(wanted(home), wanted(home / "a/b"), check=True)["changed"]
    assert not home.exists()
    run(wanted(home))
    home.chmod(0o777)
    assert run(wanted(home), check=True)["changes"] == {str(home): ["mode"]}
    assert attributes(home)[2] == 0o777
    unknown = {**wanted(home), "owner": "no-such-account"}
    assert run(unknown, check=True)["changed"], "a task before would have made it"
    assert run(unknown)["msg"] == f"{home}: there is no user 'no-such-account' on this host"


@needs_root
def test_what_is_no_directory(place, run):
    (place / "file").write_text("")
    assert "is a link or no directory" in run(wanted(place / "file/x"))["msg"]
    assert "is a link or no directory" in run(wanted(place / "file"))["msg"]


@needs_root
def test_all_problems_are_named_and_the_others_made(place, run):
    for name in ("a", "b"):
        (place / name).write_text("")
    said = run(wanted(place / "a"), wanted(place / "b"), wanted(place / "c"))["msg"]
    assert [part.partition(": ")[0] for part in said.split("; ")] == [f"{place}/a", f"{place}/b"]
    assert (place / "c").is_dir()


def test_a_directory_of_this_account(tmp_path, run):
    """Who is not root makes its own, as it may."""
    me = pwd.getpwuid(os.geteuid())
    result = run(
        {"path": str(tmp_path / "x"), "owner": me.pw_name, "group": str(me.pw_gid), "mode": "0700"}
    )
    assert result["changed"]


@pytest.mark.parametrize("text", ["488", "7", "2755", "u=rwx", "", "0o755"])
def test_a_mode_that_is_none(text):
    with pytest.raises(LockedFileError, match="write it as a quoted octal number"):
        parse_mode(text)


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a//b", "/"])
def test_a_path_that_is_none(path, run):
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert "give an absolute path" in run({"path": path, "owner": me, "mode": "0700"})["msg"]
