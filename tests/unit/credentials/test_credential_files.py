"""The scenarios that a renderer of secrets has to pass, on the real file system."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from credential_testing import (
    GROUP,
    NOBODY,
    Module,
    credential,
    execute,
    grant_to_nobody,
    tree,
)

KINDS = ("added", "updated", "repaired", "removed", "kept", "layout")


@pytest.fixture
def credentials(place):
    return place / "credentials"


@pytest.fixture
def deliver(credentials):
    """Return the module; two credentials are delivered already."""
    module = Module(
        "credential_files",
        path=str(credentials),
        group=str(GROUP),
        credentials={"A": credential("first"), "B": credential("second")},
    )
    module()
    return module


def kinds(result):
    """Return what a result says, without what is empty."""
    return {kind: result[kind] for kind in KINDS if result[kind]}


def passwords(directory):
    return {file.stem: json.loads(file.read_text())["pass"] for file in directory.glob("*.json")}


@pytest.mark.usefixtures("deliver")
def test_layout(place, credentials):
    """A link to a generation, one file per name, nobody but the group may read."""
    generation = credentials.readlink()
    assert generation.parent == Path(".credentials")
    assert json.loads((credentials / "A.json").read_text()) == credential("first")
    for path, mode in [
        (place / ".credentials", 0o750),
        (place / generation, 0o750),
        (credentials / "A.json", 0o440),
    ]:
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == mode, path
        assert (status.st_uid, status.st_gid) == (0, GROUP), path


@pytest.mark.parametrize(("groups", "readable"), [([GROUP], True), ([], False)])
@pytest.mark.usefixtures("deliver")
def test_readers(credentials, groups, readable):
    done = subprocess.run(
        ["cat", credentials / "A.json"],
        user=NOBODY,
        group=NOBODY,
        extra_groups=groups,
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is readable


def test_idempotent(place, deliver):
    """A second run changes nothing and writes nothing."""
    before = tree(place)
    result = deliver()
    assert result["changed"] is False
    assert kinds(result) == {}
    assert tree(place) == before


def test_changes_are_named_and_the_rest_keeps_its_inode(credentials, deliver):
    inode = (credentials / "A.json").stat().st_ino
    result = deliver(
        credentials={"A": credential("first"), "B": credential("new"), "C": credential("third")}
    )
    assert kinds(result) == {"added": ["C"], "updated": ["B"]}
    assert passwords(credentials) == {"A": "first", "B": "new", "C": "third"}
    assert (credentials / "A.json").stat().st_ino == inode
    assert (credentials / "A.json").stat().st_nlink == 1


def test_one_generation_remains(place, deliver):
    for password in ("x", "y"):
        deliver(credentials={"A": credential(password)})
    generations = [path for path in (place / ".credentials").iterdir() if path.is_dir()]
    assert generations == [place / (place / "credentials").readlink()]


def test_revoked(credentials, deliver):
    result = deliver(credentials={"A": credential("first")})
    assert kinds(result) == {"removed": ["B"]}
    assert passwords(credentials) == {"A": "first"}


def test_revoking_everything_needs_consent(place, credentials, deliver):
    before = tree(place)
    message = deliver.fails(credentials={})
    assert "would remove all 2 credentials" in message
    assert "allow_empty: true" in message
    assert tree(place) == before
    assert kinds(deliver(credentials={}, allow_empty=True)) == {"removed": ["A", "B"]}
    assert passwords(credentials) == {}
    assert deliver(credentials={})["changed"] is False


def test_one_source_fails(credentials, deliver):
    """A record that is missing this time keeps its last good file, byte for byte and inode."""
    before = (credentials / "B.json").stat()
    content = (credentials / "B.json").read_bytes()
    wanted = {
        "credentials": {"A": credential("new")},
        "problems": {"B": "there is no such record", "never-delivered": "it has no host"},
    }
    result = deliver(**wanted)
    assert kinds(result) == {"updated": ["A"], "kept": ["B"]}
    assert (credentials / "B.json").read_bytes() == content
    assert (credentials / "B.json").stat().st_ino == before.st_ino
    result = deliver(**wanted)
    assert result["changed"] is False
    assert kinds(result) == {"kept": ["B"]}


def test_one_source_only(credentials, deliver):
    """What nobody asked for this time stays, and the result does not list it."""
    inode = (credentials / "B.json").stat().st_ino
    result = deliver(credentials={"A": credential("new")}, keep=["B", "never-delivered"])
    assert kinds(result) == {"updated": ["A"]}
    assert (credentials / "B.json").stat().st_ino == inode
    assert len(json.dumps(deliver(keep=[f"N{number}" for number in range(9_000)]))) < 5_000


def test_a_kept_file_that_drifted_is_repaired(credentials, deliver):
    (credentials / "B.json").chmod(0o644)
    result = deliver(credentials={"A": credential("first")}, problems={"B": "down"})
    assert kinds(result) == {"repaired": ["B"], "kept": ["B"]}
    assert stat.S_IMODE((credentials / "B.json").stat().st_mode) == 0o440
    assert passwords(credentials) == {"A": "first", "B": "second"}


@pytest.mark.parametrize(
    "content",
    [b"", b'{"user": "etl", "pa', b"[]", b'{"user": "etl"}', b"[" * 100_000, b"\xff"],
    ids=["empty", "half", "list", "incomplete", "deep", "bytes"],
)
def test_only_a_good_file_is_kept(credentials, deliver, content):
    (credentials / "B.json").write_bytes(content)
    result = deliver(credentials={"A": credential("first")}, problems={"B": "down"})
    assert kinds(result) == {"removed": ["B"]}


def widen(path):
    path.chmod(0o644)


def narrow(path):
    path.chmod(0)


def give_away(path):
    os.chown(path, NOBODY, GROUP)


def give_to_a_group(path):
    os.chown(path, 0, NOBODY)


def grant(path):
    grant_to_nobody(path, "access")


def write_another(path):
    path.write_text("{}")


def write_as_long(path):
    path.write_text(path.read_text().replace("first", "other"))


def link_elsewhere(path):
    os.link(path, path.parents[2] / "another-name")


def put_a_fifo(path):
    path.unlink()
    os.mkfifo(path)


def drifts(credentials, deliver, drift, kind):
    """Let a file drift; it is repaired, by a new file, and reported."""
    path = credentials / "A.json"
    untouched = (credentials / "B.json").stat().st_ino
    drift(path.resolve())
    inode = path.lstat().st_ino
    assert kinds(deliver(check=True)) == {kind: ["A"]}
    result = deliver()
    assert result["changed"] is True
    assert kinds(result) == {kind: ["A"]}
    status = path.lstat()
    assert stat.S_IFMT(status.st_mode) == stat.S_IFREG
    assert stat.S_IMODE(status.st_mode) == 0o440
    assert (status.st_uid, status.st_gid, status.st_nlink) == (0, GROUP, 1)
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert status.st_ino != inode, "somebody may hold the old file open"
    assert passwords(credentials) == {"A": "first", "B": "second"}
    assert (credentials / "B.json").stat().st_ino == untouched
    assert deliver()["changed"] is False


@pytest.mark.parametrize("drift", [widen, narrow, grant])
def test_drift_mode(credentials, deliver, drift):
    drifts(credentials, deliver, drift, "repaired")


@pytest.mark.parametrize("drift", [give_away, give_to_a_group])
def test_drift_owner(credentials, deliver, drift):
    drifts(credentials, deliver, drift, "repaired")


@pytest.mark.parametrize("drift", [write_another, write_as_long])
def test_drift_content(credentials, deliver, drift):
    drifts(credentials, deliver, drift, "updated")


@pytest.mark.parametrize("drift", [link_elsewhere, put_a_fifo])
def test_drift_of_another_kind(credentials, deliver, drift):
    drifts(credentials, deliver, drift, "repaired")


@pytest.mark.parametrize(
    ("directory", "part"),
    [("credentials", "directory"), (".credentials", "store")],
)
@pytest.mark.parametrize("drift", [widen, give_away, give_to_a_group, grant])
def test_drift_of_a_directory(place, deliver, directory, part, drift):
    drift((place / directory).resolve())
    assert kinds(deliver()) == {"layout": [part]}
    status = (place / directory).stat()
    assert stat.S_IMODE(status.st_mode) == 0o750
    assert (status.st_uid, status.st_gid) == (0, GROUP)
    assert deliver()["changed"] is False


def test_missing_and_extra_files_are_drift(credentials, deliver):
    (credentials / "A.json").unlink()
    (credentials / "Extra.json").write_text("{}")
    assert kinds(deliver()) == {"added": ["A"], "removed": ["Extra"]}
    assert passwords(credentials) == {"A": "first", "B": "second"}


def test_unmanaged_file(place, credentials, deliver):
    """What is not a credential's file stays, in the set, in the store and beside them."""
    for path in (
        credentials / "notes.txt",
        credentials / ".hidden.json",
        place / ".credentials/README",
        place / "airflow.cfg",
    ):
        path.write_text(path.name)
        path.chmod(0o604)
    (credentials / "folder").mkdir()
    (credentials / "folder/inside.json").write_text("{}")
    (credentials / "A.json").unlink()
    (credentials / "A.json").mkdir()
    (credentials / "A.json/inside").write_text("kept")
    generation = credentials.readlink().name
    assert kinds(deliver()) == {"repaired": ["A"]}
    assert deliver(credentials={"A": credential("new")})["changed"] is True
    for path in (
        credentials / "notes.txt",
        credentials / ".hidden.json",
        place / ".credentials/README",
        place / "airflow.cfg",
    ):
        assert path.read_text() == path.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert (credentials / "folder/inside.json").read_text() == "{}"
    assert (credentials / f"A.json.{generation}/inside").read_text() == "kept"


@pytest.fixture
def victim(place):
    """Return a file outside; the test fails when anything about it has changed."""
    directory = place / "outside"
    directory.mkdir()
    path = directory / "A.json"
    path.write_text("victim")
    before = tree(directory)
    yield path
    assert tree(directory) == before


def test_symlink_dest(credentials, deliver, victim):
    """A file that was swapped for a link is replaced; a file under the name of the set refused."""
    (credentials / "A.json").unlink()
    (credentials / "A.json").symlink_to(victim)
    assert kinds(deliver()) == {"repaired": ["A"]}
    assert not (credentials / "A.json").is_symlink()


def test_link_of_the_set_that_leads_elsewhere(credentials, deliver, victim):
    credentials.unlink()
    credentials.symlink_to(victim.parent)
    assert kinds(deliver()) == {"added": ["A", "B"], "layout": ["leftovers", "link"]}
    assert credentials.readlink().parent == Path(".credentials")


def test_path_that_is_not_our_link(place, deliver):
    directory = place / "mine"
    directory.mkdir()
    assert "not ours: move it away" in deliver.fails(path=str(directory))


def test_store_that_is_a_link(place, deliver, victim):
    (place / ".elsewhere").symlink_to(victim.parent)
    assert "look where it comes from" in deliver.fails(path=str(place / "elsewhere"))


def test_generation_that_is_a_link(place, credentials, deliver, victim):
    """Also a link by the name of a generation isn't followed, nor what it leads to removed."""
    (place / ".credentials/0123456789abcdef").symlink_to(victim.parent)
    assert deliver()["changed"] is False
    credentials.unlink()
    credentials.symlink_to(".credentials/0123456789abcdef")
    assert kinds(deliver())["added"] == ["A", "B"]


def test_symlink_parent(place, deliver, victim):
    (place / "parent").symlink_to(victim.parent)
    message = deliver.fails(path=str(place / "parent/credentials"))
    assert f"{place}/parent is a symbolic link" in message


def test_hardlink(credentials, deliver, victim):
    (credentials / "A.json").unlink()
    before = victim.stat()
    os.link(victim, credentials / "A.json")
    assert kinds(deliver())["repaired"] == ["A"]
    assert victim.stat().st_nlink == before.st_nlink


def test_default_acl(place, credentials):
    """A default ACL of the directory doesn't open what is made below it."""
    grant_to_nobody(place, "default")
    deliver = Module(
        "credential_files",
        path=str(credentials),
        group=str(GROUP),
        credentials={"A": credential()},
    )
    deliver()
    for path in (place / ".credentials", credentials.resolve(), credentials / "A.json"):
        assert "system.posix_acl_access" not in os.listxattr(path), path
    assert deliver()["changed"] is False


def test_leftover_tmp(place, credentials, deliver):
    """What a killed run has left is cleaned; it doesn't block, and check mode tells."""
    stale = place / ".credentials/0123456789abcdef"
    stale.mkdir(mode=0o700)
    (stale / "A.json").write_text("half a fi")
    os.link(credentials / "B.json", stale / "B.json")
    (place / ".credentials.0123456789abcdef.tmp").symlink_to("nowhere")
    assert kinds(deliver(check=True)) == {"layout": ["leftovers"]}
    assert stale.exists()
    assert kinds(deliver()) == {"layout": ["leftovers"]}
    assert sorted(path.name for path in place.iterdir()) == [".credentials", "credentials"]
    assert not stale.exists()
    assert deliver()["changed"] is False


def test_check_mode(place, deliver):
    """Predicts the same lists without writing."""
    before = tree(place)
    wanted = {"B": credential("new"), "C": credential("third")}
    predicted = deliver(check=True, credentials=wanted)
    assert tree(place) == before
    done = deliver(credentials=wanted)
    assert kinds(predicted) == kinds(done)
    assert predicted["diff"] == done["diff"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"path": "/nowhere/to/be/found/credentials"}, {"group": "not-made-yet"}],
    ids=["empty", "no_directory", "no_group"],
)
def test_check_mode_on_a_fresh_node(place, changes):
    fresh = Module(
        "credential_files",
        path=str(place / "credentials"),
        group=str(GROUP),
        credentials={"A": credential()},
    )
    assert kinds(fresh(check=True, **changes)) == {"added": ["A"], "layout": ["link", "store"]}
    assert list(place.iterdir()) == []


def test_result_names_kinds_and_never_values(deliver):
    """Also where a value is part of a name, which masking would garble."""
    secret = "s3cret-value"
    wanted = {"A-etl-db1": credential(secret), "B": credential(secret)}
    done = execute("credential_files", {**deliver.arguments, "credentials": wanted})
    result = json.loads(done.stdout)
    assert result["added"] == ["A-etl-db1"]
    assert result["diff"]["before"] == {
        "A": "present",
        "A-etl-db1": "absent",
        "B": "content: another",
    }
    assert secret not in done.stdout
    assert secret not in done.stderr
    assert "db1.example.org" not in done.stdout


ODD = [
    "${HOME} $(id) `id`",
    "{{ lookup('env', 'HOME') }}{% raw %}",
    "'single' \"double\" \\back\\slash",
    "first\nsecond\r\n\tlast\n",
    " spaces around ",
    "ünïcödé 密码 🔑 \u2028 \u0000 \ud800",
    "x" * 65_536,
]


def test_odd_values(credentials, deliver):
    names = {f"odd-{number}": credential(value) for number, value in enumerate(ODD)}
    # A process of its own: the controller's code, imported here, reads \ud800 in another way.
    arguments = {**deliver.arguments, "credentials": names}
    done = execute("credential_files", arguments, wrapper=["env"])
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads((credentials / f"{name}.json").read_text())["pass"] for name in names]
    assert found == ODD
    done = execute("credential_files", arguments, wrapper=["env"])
    assert json.loads(done.stdout)["changed"] is False


def test_what_is_protected_changes_a_file_once(deliver):
    """Files from before the mark get it by the next refresh."""
    deliver(credentials={"A": credential()})
    marked = {"A": credential(metadata={"pin": "1"}, protected=["metadata.pin"])}
    assert deliver(credentials=marked)["updated"] == ["A"]
    assert deliver(credentials=marked)["changed"] is False
    assert deliver(credentials={}, problems={"A": "gone"})["kept"] == ["A"]


def refused(place, deliver, changes, message, without=None):
    """Deliver a set with one bad credential; nothing of it is rendered."""
    before = tree(place)
    bad = credential("s3cret", **changes)
    bad.pop(without, None)
    assert deliver.fails(credentials={"A": credential("new"), "B": bad}).endswith(f"B: {message}")
    assert tree(place) == before


@pytest.mark.parametrize("field", ["user", "host", "pass"])
@pytest.mark.parametrize("null", [True, False], ids=["null", "absent"])
def test_missing_field(place, deliver, field, null):
    message = f"{field} missing or empty"
    refused(place, deliver, {field: None}, message, without=None if null else field)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"pass": ""}, "pass missing or empty", id="pass"),
        pytest.param({"user": " ", "host": ""}, "user and host missing or empty", id="blank"),
        pytest.param({"user": "\n"}, "user missing or empty", id="newline"),
        pytest.param({"pass": []}, "pass missing or empty", id="list"),
    ],
)
def test_empty_value(place, deliver, changes, message):
    refused(place, deliver, changes, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "x"}, "it has unknown fields: password (extras belong into metadata)"),
        ({"url": None}, "url is not a text"),
        ({"description": 1}, "description is not a text"),
        ({"metadata": None}, "metadata is not a mapping"),
        ({"metadata": {"port": []}}, "metadata.port is not a text, number or truth value"),
        ({"metadata": {"a": None}}, "metadata.a is not a text, number or truth value"),
        ({"metadata": {"a": float("nan")}}, "metadata.a is not a text, number or truth value"),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_other_fields_of_the_wrong_type(place, deliver, changes, message):
    refused(place, deliver, changes, message)


@pytest.mark.parametrize("given", ["a text", ["A"]], ids=repr)
def test_credentials_that_are_no_mapping(place, deliver, given):
    before = tree(place)
    assert "credentials is not a mapping" in deliver.fails(credentials=given)
    assert tree(place) == before


@pytest.mark.parametrize(
    "name", ["../A", "a/b", ".hidden", "-x", "", "a b", "é", "a\n", "x" * 129], ids=repr
)
def test_unsafe_names(place, deliver, name):
    before = tree(place)
    assert re.search(
        "safe file name|more than 128", deliver.fails(credentials={name: credential()})
    )
    assert tree(place) == before


def test_names_of_every_safe_kind(credentials, deliver):
    names = ["a", "A.b_c-1", "0", "case", "CASE", "x.json", "y" * 128]
    deliver(credentials={name: credential(name) for name in names})
    assert passwords(credentials) == {name: name for name in names}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "credentials"}, "give an absolute path"),
        ({"path": "/var/../etc/credentials"}, "give an absolute path"),
        ({"path": "/nowhere/to/be/found/credentials"}, "/nowhere does not exist: create it first"),
        ({"group": "no-such-group"}, "there is no group 'no-such-group' on this host"),
        ({"owner": "no-such-user"}, "there is no user 'no-such-user' on this host"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.split()[0],
)
def test_messages(deliver, changes, message):
    assert message in deliver.fails(**changes)


def test_only_one_run_writes(place, deliver):
    """A run waits for the one before; nobody but the owner can hold it up."""
    lock = place / ".credentials/.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    script = (
        "import fcntl, sys, time; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX);"
        " print(flush=True); time.sleep(0.7)"
    )
    with subprocess.Popen([sys.executable, "-c", script, lock], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert deliver(credentials={"A": credential("new")})["changed"] is True
        assert holder.poll() is not None
