"""What a run leaves beside the credentials: the status, the log, units that were told."""

import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.module_utils import credential_status
from credential_testing import (
    GROUP,
    HERE,
    NOBODY,
    Module,
    Systemctl,
    credential,
    environment,
    execute,
    grant_to_nobody,
    other_process,
    record_syslog,
    tree,
)

from rax.credentials import get_credentials
from rax.errors import InsecureCredentialError

LONG_AGO = "2020-02-02T02:02:02Z"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def path(place):
    return place / "credentials.status.json"


@pytest.fixture
def log(tmp_path, monkeypatch):
    return record_syslog(monkeypatch, tmp_path / "log")


@pytest.fixture
def systemctl(place, tmp_path, monkeypatch):
    return Systemctl(tmp_path, monkeypatch, place / "credentials")


@pytest.fixture
def deliver(place, path, log):
    """Return the module; two credentials are delivered already."""
    module = Module(
        "credential_files",
        path=str(place / "credentials"),
        group=str(GROUP),
        status=str(path),
        vault="caspian.airflow.kdbx",
        by="root@control1",
        credentials={"A": credential("first"), "B": credential("second")},
    )
    module()
    log.write_text("")
    return module


@pytest.fixture
def long_ago(place, path):
    """Return what puts all times of the status, and of the files, far back."""

    def put_back():
        path.chmod(0o640)
        path.write_text(TIME.sub(LONG_AGO, path.read_text()))
        path.chmod(0o440)
        for file in (place / "credentials").glob("*.json"):
            os.utime(file, (1_000_000_000, 1_000_000_000))

    return put_back


def read(path):
    return json.loads(path.read_text())


def lately(text):
    """Whether a time is of this test."""
    found = time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    return 0 <= time.time() - found < 100


def test_status(place, path, deliver):
    """All that the contract with its readers names, locked as the credentials are."""
    deliver(problems={"C": "there is no such record"})
    status = read(path)
    assert list(status) == ["version", "refreshed_at", "vault", "by", "generation", "sources"]
    assert status["version"] == 1
    assert lately(status["refreshed_at"])
    assert status["vault"] == "caspian.airflow.kdbx"
    assert status["by"] == "root@control1"
    assert status["generation"] == (place / "credentials").readlink().name
    now = status["refreshed_at"]
    for name in ("A", "B"):
        entry = status["sources"][name]
        assert re.fullmatch(r"[0-9a-f]{64}", entry.pop("fingerprint"))
        assert lately(entry.pop("changed_at"))
        assert entry == {"state": "current", "last_good_at": now, "error": None}
    assert status["sources"]["C"] == {
        "state": "missing",
        "fingerprint": None,
        "changed_at": None,
        "last_good_at": None,
        "error": "there is no such record",
    }
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, GROUP, 0o440)
    # For people and grep: a source is a line.
    assert [line for line in path.read_text().splitlines() if line.startswith('    "B": {')]


def test_times_move_on_and_nothing_is_changed(place, path, deliver, long_ago):
    long_ago()
    before = {name: entry for name, entry in tree(place).items() if name != path.name}
    result = deliver()
    assert result["changed"] is False
    assert {name: entry for name, entry in tree(place).items() if name != path.name} == before
    status = read(path)
    assert lately(status["refreshed_at"])
    for entry in status["sources"].values():
        assert entry["changed_at"] == LONG_AGO
        assert lately(entry["last_good_at"])
    assert lately(result["summary"]["oldest_last_good_at"])


def test_changed_at_is_of_the_source(path, deliver, long_ago):
    long_ago()
    before = read(path)["sources"]
    deliver(credentials={"A": credential("first"), "B": credential("new")})
    after = read(path)["sources"]
    assert after["A"]["fingerprint"] == before["A"]["fingerprint"]
    assert after["A"]["changed_at"] == LONG_AGO
    assert after["B"]["fingerprint"] != before["B"]["fingerprint"]
    assert lately(after["B"]["changed_at"])


def test_repair_is_no_change_of_the_source(place, path, deliver, long_ago):
    long_ago()
    (place / "credentials/A.json").chmod(0o644)
    assert deliver()["repaired"] == ["A"]
    assert read(path)["sources"]["A"]["changed_at"] == LONG_AGO


def test_kept_and_recovered(path, deliver, long_ago):
    """A source that fails keeps when it was good; the error goes when it is good again."""
    long_ago()
    before = read(path)["sources"]["B"]
    result = deliver(
        credentials={"A": credential("first")}, problems={"B": "it has no user", "C": "timeout"}
    )
    assert result["changed"] is False
    assert result["summary"] == {
        "current": 1,
        "kept": 1,
        "missing": 1,
        "oldest_last_good_at": LONG_AGO,
    }
    assert read(path)["sources"]["B"] == {**before, "state": "kept", "error": "it has no user"}
    deliver()
    status = read(path)
    assert status["sources"].keys() == {"A", "B"}
    assert status["sources"]["B"]["state"] == "current"
    assert status["sources"]["B"]["error"] is None
    assert status["sources"]["B"]["changed_at"] == LONG_AGO
    assert lately(status["sources"]["B"]["last_good_at"])


def test_a_source_whose_file_is_lost_keeps_when_it_was_good(place, path, deliver, long_ago):
    long_ago()
    (place / "credentials/B.json").unlink()
    result = deliver(credentials={"A": credential("first")}, problems={"B": "timeout"})
    assert result["summary"]["missing"] == 1
    entry = read(path)["sources"]["B"]
    assert (entry["state"], entry["changed_at"], entry["last_good_at"]) == (
        *("missing", None),
        LONG_AGO,
    )


def test_one_source_only(path, deliver, long_ago):
    """The entries of the others stay as they are, with their errors."""
    deliver(credentials={"A": credential("first")}, problems={"B": "down", "C": "timeout"})
    long_ago()
    before = read(path)["sources"]
    result = deliver(credentials={"A": credential("new")}, keep=["B", "C"])
    after = read(path)["sources"]
    assert lately(after.pop("A")["changed_at"])
    before.pop("A")
    assert after == before
    assert result["summary"] == {
        "current": 1,
        "kept": 1,
        "missing": 1,
        "oldest_last_good_at": LONG_AGO,
    }


def test_revoked_sources_leave_the_status(path, deliver):
    deliver(credentials={"A": credential("first")})
    assert read(path)["sources"].keys() == {"A"}
    deliver(credentials={}, allow_empty=True)
    assert read(path)["sources"] == {}


def no_version(status):
    del status["version"]


def no_sources(status):
    status["sources"] = []


def another_state(status):
    status["sources"]["A"]["state"] = ["current"]


def no_time(status):
    status["sources"]["A"]["last_good_at"] = "yesterday"


def no_fingerprint(status):
    del status["sources"]["A"]["fingerprint"]


def another_generation(status):
    status["generation"] = "0123456789abcdef"


@pytest.mark.parametrize(
    "tamper",
    [no_version, no_sources, another_state, no_time, no_fingerprint, another_generation],
)
def test_a_damaged_status_is_repaired(path, deliver, long_ago, tamper):
    status = read(path)
    tamper(status)
    path.write_text(json.dumps(status))
    assert deliver(check=True)["layout"] == ["status"]
    result = deliver()
    assert result["changed"] is True
    assert result["layout"] == ["status"]
    assert read(path)["sources"].keys() == {"A", "B"}
    long_ago()
    assert deliver()["changed"] is False


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version": 1}', b"[" * 100_000, b"\xff\x00"],
    ids=["empty", "half", "list", "short", "deep", "bytes"],
)
def test_a_status_that_is_none_blocks_nothing(place, path, deliver, content):
    """When its sources were changed begins anew: with the times of the files."""
    path.write_bytes(content)
    os.utime(place / "credentials/A.json", (1_000_000_000, 1_000_000_000))
    result = deliver()
    assert result["layout"] == ["status"]
    assert read(path)["sources"]["A"]["changed_at"] == "2001-09-09T01:46:40Z"
    assert lately(read(path)["sources"]["A"]["last_good_at"])
    assert deliver()["changed"] is False


def test_a_huge_status_is_not_read(path, deliver):
    with path.open("r+b") as file:
        file.truncate(10**12)
    assert deliver()["layout"] == ["status"]


def remove(path):
    path.unlink()


def widen(path):
    path.chmod(0o444)


def give_away(path):
    os.chown(path, NOBODY, GROUP)


def grant(path):
    grant_to_nobody(path, "access")


def link(path):
    os.link(path, path.with_name("another"))


def link_away(path):
    path.rename(path.with_name("victim"))
    path.symlink_to(path.with_name("victim"))


def put_a_fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("drift", [remove, widen, give_away, grant, link, link_away, put_a_fifo])
def test_a_drifted_status_is_repaired(place, path, deliver, drift):
    drift(path)
    assert deliver(check=True)["layout"] == ["status"]
    result = deliver()
    assert result["layout"] == ["status"]
    assert result["changed"] is True
    status = path.lstat()
    assert stat.S_ISREG(status.st_mode)
    assert (status.st_uid, status.st_nlink, status.st_mode & 0o7777) == (0, 1, 0o440)
    assert (place / "victim").exists() is (drift is link_away)
    assert deliver()["changed"] is False


def test_check_mode_writes_no_status(place, path, deliver, systemctl):
    before = tree(place)
    wanted = {"credentials": {"A": credential("new")}, "problems": {"B": "down"}}
    predicted = deliver(check=True, notify=["a.service"], **wanted)
    assert tree(place) == before
    assert systemctl.told() == []
    done = deliver(notify=["a.service"], **wanted)
    assert predicted["notified"] == done["notified"] == ["a.service"]
    assert predicted["summary"]["kept"] == done["summary"]["kept"] == 1
    path.unlink()
    (place / "credentials").unlink()
    (place / "fresh").mkdir()
    fresh = deliver(check=True, status=f"{place}/fresh/not-yet/status.json", **wanted)
    assert fresh["layout"] == ["leftovers", "link", "status"]
    fresh = deliver(check=True, path="/nowhere/credentials", **wanted)
    assert fresh["summary"]["current"] == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("status.json", "give an absolute path"),
        ("/nowhere/status.json", "status: /nowhere does not exist: create it first"),
        ("{place}/credentials", "is a place of the credentials; name another"),
        ("{place}/credentials/status.json", "is a place of the credentials; name another"),
        ("{place}/.credentials/status.json", "is a place of the credentials; name another"),
        ("{place}/folder", "folder is a directory: move it away"),
        ("{place}/link/status.json", "link is a symbolic link"),
    ],
)
def test_no_place_for_a_status(place, deliver, status, message):
    """That is said before anything is published."""
    (place / "folder").mkdir()
    (place / "link").symlink_to("folder")
    before = tree(place)
    wanted = {"A": credential("new")}
    assert message in deliver.fails(status=status.format(place=place), credentials=wanted)
    assert tree(place) == before


# The fingerprint.


def test_fingerprint_helps_nobody_to_guess(place, path, deliver):
    """It is no hash of what one could try, and two nodes have two of the same credential."""
    content = (place / "credentials/A.json").read_bytes()
    there = path.read_text()
    for text in (content, b"first", json.dumps(credential("first")).encode()):
        assert hashlib.sha256(text).hexdigest() not in there
    key = place / ".credentials/.key"
    found = key.stat()
    assert (found.st_uid, found.st_mode & 0o7777, found.st_size) == (0, 0o400, 32)
    expected = credential_status.fingerprint(key.read_bytes(), content)
    assert read(path)["sources"]["A"]["fingerprint"] == expected
    deliver(path=str(place / "others"), status=str(place / "others.json"))
    assert read(place / "others.json")["sources"]["A"]["fingerprint"] != expected


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(lambda key: key.unlink(), id="gone"),
        pytest.param(lambda key: key.chmod(0o440), id="mode"),
        pytest.param(lambda key: os.chown(key, NOBODY, 0), id="owner"),
        pytest.param(lambda key: key.write_bytes(b"short"), id="short"),
        pytest.param(lambda key: os.link(key, key.with_name("copy")), id="link"),
    ],
)
def test_a_key_that_others_may_have_is_replaced(place, path, deliver, long_ago, drift):
    """All fingerprints are others then, but nothing was changed."""
    key = place / ".credentials/.key"
    content, before = key.read_bytes(), read(path)["sources"]["A"]["fingerprint"]
    long_ago()
    drift(key)
    assert deliver(check=True)["layout"] == ["store"]
    assert deliver()["layout"] == ["store"]
    assert key.read_bytes() != content
    assert key.stat().st_mode & 0o7777 == 0o400
    entry = read(path)["sources"]["A"]
    assert entry["fingerprint"] != before
    assert not lately(entry["changed_at"])
    assert deliver()["changed"] is False


# The log.


def test_audit(place, deliver, log):
    """Who, from where, which generation, which names and which version of them; never a value."""
    deliver(
        credentials={"A": credential("s3cret"), "C": credential("third")},
        by='somebody "else"\n',
    )
    generation = (place / "credentials").readlink().name
    key = (place / ".credentials/.key").read_bytes()
    marks = {
        name: credential_status.fingerprint(key, (place / f"credentials/{name}.json").read_bytes())
        for name in ("A", "C")
    }
    ours = [line for line in log.read_text().splitlines() if line.startswith("generation=")]
    assert ours == [
        f'generation={generation} by="somebody \\"else\\"\\n" vault="caspian.airflow.kdbx"'
        f" added=C:{marks['C'][:16]} updated=A:{marks['A'][:16]} removed=B"
    ]
    assert "s3cret" not in log.read_text()
    log.write_text("")
    deliver(credentials={"A": credential("s3cret"), "C": credential("third")})
    assert "generation=" not in log.read_text()


def test_audit_of_a_repair(place, deliver, log):
    (place / "credentials/A.json").chmod(0o644)
    (place / "credentials").resolve().chmod(0o755)
    deliver()
    assert re.search(r" repaired=A:[0-9a-f]{16} layout=directory\n", log.read_text())


def test_audit_of_thousands_of_names():
    """No line is longer than a receiver of syslog takes, and no name is lost."""
    names = [f"NAME-{number:05}" for number in range(2_000)]
    marks = dict.fromkeys(names, "0123456789abcdef" * 4)
    kinds = {"added": names, "removed": ["OLD"]}
    lines = [*credential_status.log_lines("f" * 16, "me", "vault", kinds, marks)]
    assert all(len(line) <= credential_status.MAX_LINE_BYTES for line in lines)
    assert all(line.startswith(f'generation={"f" * 16} by="me" vault="vault" ') for line in lines)
    assert re.findall(r"NAME-\d+(?=:0123456789abcdef)", " ".join(lines)) == names
    assert lines[-1].endswith(" removed=OLD")


# The units.


def test_units_are_told_once_per_set(place, deliver, systemctl):
    units = ["a.service", "b@1.service", "a.service"]
    assert deliver(notify=units)["notified"] == []
    wanted = {"A": credential("x"), "B": credential("y"), "C": credential("z")}
    result = deliver(notify=units, credentials=wanted)
    assert result["notified"] == ["a.service", "b@1.service"]
    generation = (place / "credentials").readlink().name
    assert systemctl.told() == [(generation, ["try-reload-or-restart", "a.service", "b@1.service"])]
    result = deliver(notify=units, credentials=wanted)
    assert result["changed"] is False
    assert result["notified"] == []
    assert len(systemctl.told()) == 1


def test_units_that_fail_are_named_at_the_end(place, path, deliver, systemctl):
    """All is published and the others are told; the next run tries again, without a change."""
    wanted = {"A": credential("new")}
    units = ["a.service", "bad.service"]
    result = deliver.failed(notify=units, credentials=wanted)
    assert "the credentials ARE published" in result["msg"]
    assert result["msg"].endswith(
        "systemctl could not reload bad.service: Job for bad.service failed."
    )
    assert result["published"] is True
    assert result["updated"] == ["A"]
    assert result["removed"] == ["B"]
    assert result["notified"] == ["a.service"]
    assert read(path)["generation"] == (place / "credentials").readlink().name
    assert "bad.service" in deliver.failed(notify=units, credentials=wanted)["msg"]
    result = deliver(notify=["a.service"], credentials=wanted)
    assert result["notified"] == ["a.service"]
    assert result["changed"] is True
    assert deliver(notify=["a.service"], credentials=wanted)["changed"] is False
    assert len(systemctl.told()) == 3


def test_without_systemd(place, deliver, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    message = deliver.fails(notify=["a.service"], credentials={"A": credential("new")})
    assert "systemctl could not reload a.service: No such file or directory" in message
    assert json.loads((place / "credentials/A.json").read_text())["pass"] == "new"


@pytest.mark.parametrize("unit", ["--now", "a b", "", "a/b.service", "a\n"], ids=repr)
def test_names_that_are_no_units(place, deliver, systemctl, unit):
    before = tree(place)
    message = deliver.fails(notify=["good.service", unit], credentials={"A": credential("new")})
    assert f"notify: {unit!r} is not the name of a systemd unit" in message
    assert tree(place) == before
    assert systemctl.told() == []


# An account that runs it itself.


@pytest.fixture
def home(place):
    directory = place / "home"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    return directory


@pytest.mark.parametrize("runner", [NOBODY, 0], ids=["itself", "root"])
def test_credentials_of_an_account(home, monkeypatch, runner):
    """As the library wants it: what one owns, nobody else may read."""
    deliver = Module(
        "credential_files",
        path=str(home / "credentials"),
        owner=str(NOBODY),
        status=str(home / "status.json"),
        credentials={"A": credential("first")},
    )
    assert deliver(account=runner)["added"] == ["A"]
    (home / "credentials/A.json").chmod(0)
    assert deliver(account=runner)["repaired"] == ["A"]
    assert deliver(account=runner, credentials={"A": credential("new")})["updated"] == ["A"]
    # Whoever ran it first, the other can.
    for other in (NOBODY, 0):
        assert deliver(account=other, credentials={"A": credential("new")})["changed"] is False
    for name, (_, mode, uid, gid, _, _) in tree(home).items():
        if not stat.S_ISLNK(mode):
            assert (uid, gid) == (NOBODY, NOBODY), name
            assert not mode & 0o077, name
    assert stat.S_IMODE((home / "credentials/A.json").stat().st_mode) == 0o400
    assert stat.S_IMODE((home / "status.json").stat().st_mode) == 0o400
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(home / "credentials"))
    with pytest.raises(InsecureCredentialError, match="belongs to the user id"):
        get_credentials("A")  # This process is root's.
    with other_process(lambda: get_credentials("A")["pass"], account=NOBODY) as end:
        assert set(end()) == {"new"}


def test_only_root_gives_files_away(home):
    deliver = Module(
        "credential_files", path=str(home / "credentials"), credentials={"A": credential()}
    )
    message = deliver.fails(account=NOBODY)
    assert "only root can give files to 'root'" in message
    assert list(home.iterdir()) == []


# Nothing leaks.

CANARY = "c4nary-s3cret"


@pytest.fixture
def devices(place):
    """Return a directory to mount as /dev, with a socket that takes what is logged."""
    directory = place / "dev"
    directory.mkdir()
    (directory / "null").touch()
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this machine lets nobody have mounts of their own")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(directory / "log"))
        receiver.setblocking(False)
        yield directory, receiver


def everywhere():
    """Return what any account could see of all processes: their arguments and environment."""
    found = b""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found += (process / name).read_bytes()
            except OSError:
                continue
    return found


@pytest.mark.parametrize("no_log", [True, False])
@pytest.mark.parametrize("succeeds", [True, False])
def test_leak_scan(place, deliver, devices, no_log, succeeds):
    """Also without no_log: not in arguments, environments, temporary files, log or result."""
    directory, receiver = devices
    values = {"user": f"{CANARY}-user", "url": f"https://{CANARY}", "metadata": {"x": CANARY}}
    wanted = {"A": credential(CANARY, **values), "B": credential(CANARY if succeeds else "")}
    arguments = {
        **deliver.arguments,
        "credentials": wanted,
        "_ansible_no_log": no_log,
        "_ansible_check_mode": False,
        "_ansible_diff": True,
        "_ansible_verbosity": 5,
        "_ansible_debug": True,
    }
    temporary = place / "temporary"
    temporary.mkdir()
    seen, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            seen.append(CANARY.encode() in everywhere())
            for file in temporary.rglob("*"):
                seen.append(file.is_file() and CANARY.encode() in file.read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        done = subprocess.run(
            [
                *("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev && exec "$@"'),
                *(directory, sys.executable, HERE / "run_module.py", "credential_files"),
            ],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
            env=environment() | {"TMPDIR": str(temporary), "HOME": str(temporary)},
        )
    finally:
        ended.set()
        thread.join()
    assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
    assert seen
    assert not any(seen)
    logged = b""
    try:
        while True:
            logged += receiver.recv(100_000) + b"\n"
    except BlockingIOError:
        pass
    assert (b"Invoked with" in logged) is not no_log
    assert (b"caspian-credentials" in logged) is succeeds
    for text in (logged, done.stdout.encode(), done.stderr.encode()):
        assert CANARY.encode() not in text
    files = [place / name for name in tree(place) if (place / name).is_file()]
    holders = {file.name for file in files if CANARY.encode() in file.read_bytes()}
    assert holders == ({"A.json", "B.json"} if succeeds else set())


def test_names_that_hold_a_value_are_not_garbled(deliver, log):
    """As masking every value of every credential would do."""
    wanted = {"A-etl-db1.example.org": credential("e"), "B": credential("s", metadata={"x": 1})}
    done = execute("credential_files", {**deliver.arguments, "credentials": wanted})
    result = json.loads(done.stdout)
    assert result["added"] == ["A-etl-db1.example.org"]
    assert result["invocation"]["module_args"]["credentials"] == (
        "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    )
    assert "********" not in done.stdout + log.read_text()


@pytest.mark.parametrize("problem", [{"unknown": 1}, {"keep": {}}, {"problems": "x"}], ids=str)
def test_arguments_that_are_refused_show_none(deliver, log, problem):
    wanted = {"A": credential(CANARY, metadata={"number": 4711_4711})}
    done = execute("credential_files", {**deliver.arguments, "credentials": wanted, **problem})
    assert done.returncode == 1
    for text in (CANARY, "47114711", "etl"):
        assert text not in done.stdout + done.stderr + log.read_text()


def test_no_core_dump(place):
    """A module that crashes leaves no memory on the disk."""
    script = (
        "import os, resource, sys\n"
        "from ansible_collections.caspian.airflow.plugins.module_utils import secret_module\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (2**30, resource.RLIM_INFINITY))\n"
        "secret_module.no_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), os.stat('/proc/self/mem').st_uid)\n"
        "os.setuid(65534)\n"
        "secret_module.no_core_dumps()\n"
        "print(os.stat('/proc/self/mem').st_uid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=place,
        env=environment(),
    )
    # The kernel gives the memory of a process that must not be dumped to root.
    assert done.stdout == "(0, 0) 0\n0\n"


NOON, COPIED = "2026-01-31T12:00:00Z", "2026-01-31T08:00:00Z"
NOON_SECONDS = 1769860800.0


# What the vault, or a copy of it from 8 o'clock, confirms at noon, by what was known.
@pytest.mark.parametrize(
    ("copy_of", "known", "confirmed"),
    [
        pytest.param("", None, (NOON, False), id="the vault"),
        pytest.param("", (COPIED, True), (NOON, False), id="the vault, after a copy"),
        pytest.param(COPIED, None, (COPIED, True), id="a copy, a new file"),
        pytest.param(COPIED, ("2026-01-31T07:00:00Z", True), (COPIED, True), id="a newer copy"),
        pytest.param(COPIED, ("2026-01-31T07:00:00Z", False), (COPIED, True), id="after the vault"),
        pytest.param(
            COPIED, ("2026-01-31T09:00:00Z", False), ("2026-01-31T09:00:00Z", False),
            id="the vault has confirmed it since",
        ),
        pytest.param(
            COPIED, ("2026-01-31T09:00:00Z", True), ("2026-01-31T09:00:00Z", True),
            id="a newer copy has confirmed it",
        ),
        pytest.param(COPIED, ("2026-02-01T09:00:00Z", False), (COPIED, True), id="of the future"),
        pytest.param("2026-02-01T09:00:00Z", None, (NOON, True), id="a copy of the future"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("same", [True, False], ids=["same", "another password"])
def test_a_copy_confirms_what_it_knew_when_it_was_made(copy_of, known, confirmed, same):
    former = {}
    if known:
        entry = {"state": "current", "fingerprint": "0" * 64, "changed_at": COPIED, "error": None}
        former["A"] = entry | {"last_good_at": known[0]} | ({"from_copy": True} if known[1] else {})
        if not same:
            # What was confirmed is another password.
            confirmed = (copy_of or NOON, bool(copy_of))
    fingerprints = {"A": ("0" if same else "1") * 64}
    entries = credential_status.source_entries(
        ["A"], {}, [], fingerprints, former, NOON_SECONDS, lambda _: NOON_SECONDS, copy_of
    )
    assert (entries["A"]["last_good_at"], entries["A"].get("from_copy", False)) == confirmed
    # The next run reads it, and one that asks for others leaves it.
    read_again = credential_status.parse(credential_status.encode({"version": 1}, entries))
    later = credential_status.source_entries(
        [], {}, ["A"], fingerprints, read_again["sources"], 2 * NOON_SECONDS, lambda _: 0.0
    )
    assert later == entries


@pytest.mark.parametrize("word", [False, "yes", 1, None])
def test_a_damaged_mark_of_a_copy(word):
    entry = {"state": "current", "fingerprint": None, "changed_at": None, "last_good_at": None}
    sources = {"A": entry | {"error": None, "from_copy": word}}
    assert credential_status.parse(json.dumps({"version": 1, "sources": sources}).encode()) is None


def test_a_copy_in_the_status(path, deliver, long_ago):
    long_ago()
    deliver(credentials={"A": credential("new")}, keep=["B"], copy_of=LONG_AGO)
    found = read(path)["sources"]
    assert (found["A"]["last_good_at"], found["A"]["from_copy"]) == (LONG_AGO, True)
    assert lately(found["A"]["changed_at"])
    assert "from_copy" not in found["B"]
    assert "copy_of is not a time such as" in deliver.fails(copy_of="2026-01-31 08:00")
