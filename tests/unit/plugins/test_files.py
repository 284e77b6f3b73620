# SPDX-License-Identifier: GPL-3.0-or-later
"""The module files with a whole set. Secrets: tests/unit/credentials; accounts: tests/attacks."""

import json
import os
import stat

import pytest

REFUSES = ["sh", "-c", 'echo "$0: line 1 is odd" >&2; exit 1', "%s"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of root need root")
pytestmark = needs_root


@pytest.fixture
def run(run_files):
    return run_files


def text(path, content="new\n", **more):
    return {"path": str(path), "content": content, "mode": "0644", **more}


def directory(path, mode="0755"):
    return {"path": str(path), "state": "directory", "mode": mode}


def absent(path):
    return {"path": str(path), "state": "absent"}


def names(place):
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_directories_come_first_and_removals_last(place, run):
    (place / "old").write_text("")
    watch = ["sh", "-c", f"test -e {place}/old", "%s"]
    entries = [
        absent(place / "old"),
        text(place / "etc/a", validate=watch),
        directory(place / "etc"),
    ]
    result = run(*entries)
    assert result["changes"] == {
        f"{place}/etc": ["state"],
        f"{place}/etc/a": ["created"],
        f"{place}/old": ["removed"],
    }
    assert names(place) == ["etc", "etc/a"]
    assert run(*entries)["changed"] is False


def test_texts_are_in_the_diff_and_secrets_are_not(place, run):
    (place / "a").write_text("old\n")
    (place / "a").chmod(0o600)
    secret = {"path": str(place / "key"), "content": "s3cret", "secret": True}
    diff = run(text(place / "a"), secret)["diff"]
    assert diff == [
        {
            "before_header": f"{place}/a",
            "after_header": f"{place}/a",
            "before": "old\n",
            "after": "new\n",
        },
        {
            "before": {f"{place}/a": {"mode": "0600"}, f"{place}/key": {"created": "absent"}},
            "after": {f"{place}/a": {"mode": "0644"}, f"{place}/key": {"created": "present"}},
        },
    ]
    assert stat.S_IMODE((place / "key").stat().st_mode) == 0o400
    assert run(text(place / "a"), secret)["diff"] == []


def test_one_that_is_refused_keeps_all_as_they_were(place, run):
    (place / "a").write_text("old a\n")
    (place / "b").write_text("old b\n")
    (place / "c").write_text("")
    inode = (place / "a").stat().st_ino
    result = run(
        text(place / "a"),
        text(place / "b", validate=REFUSES),
        absent(place / "c"),
        text("/nowhere/d"),
    )
    assert result["failed"]
    assert result["msg"] == (
        f"{place}/b: sh refuses the new content: it: line 1 is odd;"
        " /nowhere/d: /nowhere does not exist: create it first"
    )
    assert [path.read_text() for path in (place / "a", place / "b")] == ["old a\n", "old b\n"]
    assert (place / "a").stat().st_ino == inode
    assert names(place) == ["a", "b", "c"]


def test_only_a_new_content_is_validated(place, run):
    (place / "a").write_text("new\n")
    assert run(text(place / "a", validate=REFUSES))["changed"] is False
    (place / "a").chmod(0o600)
    assert run(text(place / "a", "other", validate=REFUSES), check=True)["changes"] == {
        f"{place}/a": ["mode", "content"]
    }


def test_what_is_validated_has_its_owner_and_mode(place, run):
    seen = ["sh", "-c", f'stat --format="%a %u %g" "$0" > {place}/seen', "%s"]
    run(text(place / "a", mode="0640", group="1", validate=seen))
    assert (place / "seen").read_text() == "640 0 1\n"


def test_a_program_that_is_not_there(place, run):
    said = run(text(place / "a", validate=["/nowhere/check", "%s"]))["msg"]
    assert said == (
        f"{place}/a: the new content can't be checked, since /nowhere/check can't be started:"
        " No such file or directory"
    )
    assert names(place) == []


def test_links_of_root_on_the_way_are_followed_but_for_a_secret(place, run):
    """A site may have /opt on another disk."""
    (place / "disk").mkdir()
    (place / "opt").symlink_to("disk")
    run(text(place / "opt/a"))
    assert names(place / "disk") == ["a"]
    secret = {"path": str(place / "opt/key"), "content": "s3cret", "secret": True}
    assert f"{place}/opt is a symbolic link" in run(secret)["msg"]


def test_a_link_in_the_place_of_a_file(place, run):
    (place / "victim").write_text("as it was")
    (place / "a").symlink_to("victim")
    for entry in (text(place / "a"), absent(place / "a")):
        assert "there is a symbolic link" in run(entry)["msg"]
    assert (place / "victim").read_text() == "as it was"


def test_a_link_of_an_account_on_the_way(place, run):
    (place / "victim").mkdir()
    (place / "home").mkdir()
    (place / "home/.ssh").symlink_to(place / "victim")
    os.chown(place / "home", 65534, 65534)
    assert "may have made" in run(text(place / "home/.ssh/authorized_keys"))["msg"]
    assert names(place / "victim") == []


def test_a_hard_link_to_a_secret_is_replaced_and_not_shown(place, run):
    (place / "shadow").write_text("s3cret\n")
    os.link(place / "shadow", place / "a")
    result = run(text(place / "a"))
    assert "s3cret" not in json.dumps(result)
    assert "links" in result["changes"][f"{place}/a"]
    assert (place / "shadow").read_text() == "s3cret\n"
    assert (place / "a").read_text() == "new\n"


def test_check_mode_on_a_new_node(place, run):
    entries = [
        directory(place / "etc"),
        text(place / "etc/a"),
        text(place / "b", owner="not-made-yet"),
        absent(place / "etc/c"),
    ]
    result = run(*entries, check=True)
    assert result["changes"] == {
        f"{place}/etc": ["state"],
        f"{place}/etc/a": ["created"],
        f"{place}/b": ["created"],
    }
    assert names(place) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": None}, "{path}: mode is missing: give it, as a quoted octal number"),
        (
            {"mode": "u=rw"},
            "{path}: mode 'u=rw': write it as a quoted octal number, such as '0750'",
        ),
        ({"content": None}, "{path}: content is missing or empty: give it, or state: absent"),
        (
            {"validate": ["true"]},
            "{path}: validate has no %s, which stands for the new file",
        ),
        (
            {"secret": True, "mode": None, "validate": ["cat", "%s"]},
            "{path}: a secret is shown to no other program: leave out validate",
        ),
        ({"path": "a"}, "a: 'a': give an absolute path without '.', '..' or '//'"),
        ({"state": "link"}, "value of state must be one of: file, directory, absent, got: link"),
        ({"contents": "x"}, "Unsupported parameters: files.contents. Supported"),
    ],
)
def test_messages(place, run, changes, message):
    entry = {
        key: value for key, value in {**text(place / "a"), **changes}.items() if value is not None
    }
    said = run(entry)["msg"]
    assert message.format(path=place / "a") in said
    assert "new\\n" not in said
    assert names(place) == []
