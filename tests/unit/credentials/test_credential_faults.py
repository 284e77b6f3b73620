"""Runs that are killed, disks that fail or are full, and others who interfere: nothing is half."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import types
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.module_utils.credential_plan import DesiredSet
from ansible_collections.caspian.airflow.plugins.module_utils.credential_store import Store
from credential_testing import (
    GROUP,
    NOBODY,
    Module,
    Systemctl,
    Traced,
    credential,
    execute,
    other_process,
    record_syslog,
    tree,
    widest_modes,
)

from rax.credentials import get_credentials

OLD = {"A": "first", "B": "second"}
NEW = {"A": "first", "C": "new"}
UNIT = "reader.service"
STORE = {".credentials", ".credentials/.lock", ".credentials/.key"}
# How the kernel says it.
ERRORS = {
    "ENOSPC": "No space left on device",
    "EIO": "Input/output error",
    "EDQUOT": "Disk quota exceeded",
}


def passwords(directory):
    return {file.stem: json.loads(file.read_text())["pass"] for file in directory.glob("*.json")}


class Node:
    """A place that is brought into its first state again and again, and the run that is broken."""

    def __init__(self, place, systemctl, log):
        self.place, self.systemctl, self.log = place, systemctl, log
        self.credentials = place / "credentials"
        self.status = place / "credentials.status.json"
        self.arguments = {
            "path": str(self.credentials),
            "group": str(GROUP),
            "status": str(self.status),
            "notify": [UNIT],
            "credentials": {name: credential(value) for name, value in NEW.items()},
        }
        self.deliver = Module("credential_files", **self.arguments)
        self.run = Traced("credential_files", self.arguments, place)

    def clear(self):
        for path in self.place.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.log.write_text("")
        self.systemctl.log.write_text("")

    def without_a_run(self):
        self.clear()

    def with_the_old_set(self):
        """Somebody has put a file into it."""
        self.clear()
        self.deliver(credentials={name: credential(value) for name, value in OLD.items()})
        (self.credentials / "notes.txt").touch(mode=0o400)

    def with_leftovers(self):
        """The set is there, and also a drifted status, and what a killed run has left."""
        self.clear()
        self.deliver()
        store = self.place / ".credentials"
        (store / "0123456789abcdef").mkdir(mode=0o700)
        (store / "0123456789abcdef/A.json").touch(mode=0o400)
        (store / "..key.0123456789abcdef.tmp").touch(mode=0o400)
        (self.place / ".credentials.0123456789abcdef.tmp").symlink_to("nowhere")
        (self.place / ".credentials.status.json.0123456789abcdef.tmp").touch(mode=0o400)
        self.status.chmod(0o400)

    def state(self):
        """Return the set that is published. All there is must be whole and open to nobody else."""
        files, directories = widest_modes(self.place)
        assert files & ~0o600 & ~0o440 == 0  # The lock is 0600.
        assert directories & ~0o750 == 0
        with contextlib.suppress(FileNotFoundError):
            assert json.loads(self.status.read_text())["version"] == 1
        return passwords(self.credentials)

    def assert_settled(self, notes):
        """What a run leaves that nobody has disturbed."""
        generation = self.credentials.readlink().name
        assert passwords(self.credentials) == NEW
        assert set(tree(self.place)) == {
            *(*STORE, "credentials", "credentials.status.json", f".credentials/{generation}"),
            *(f".credentials/{generation}/{name}" for name in ("A.json", "C.json", *notes)),
        }
        status = json.loads(self.status.read_text())
        assert status["generation"] == generation
        assert {name: entry["state"] for name, entry in status["sources"].items()} == (
            dict.fromkeys(NEW, "current")
        )
        # Told of this one last, and twice when the run was killed before it could note the first.
        told = [arguments for name, arguments in self.systemctl.told() if name == generation]
        assert told[:1] == [["try-reload-or-restart", UNIT]]
        assert len(told) <= 2
        assert self.systemctl.told()[-1][0] == generation
        assert self.log.read_text().count(f"generation={generation} ") in (1, 2)


@pytest.fixture
def memory(place):
    """Return a directory that needs no disk, for which each of many runs would wait."""
    shared = Path("/dev/shm")  # noqa: S108 - the directory in it is made for this test
    path = Path(tempfile.mkdtemp(prefix="caspian-", dir=shared if shared.is_dir() else place))
    path.chmod(0o755)
    yield path.resolve()
    shutil.rmtree(path)


@pytest.fixture
def node(memory, tmp_path, monkeypatch):
    log = record_syslog(monkeypatch, tmp_path / "log")
    return Node(memory, Systemctl(tmp_path, monkeypatch, memory / "credentials"), log)


SCENARIOS = [
    pytest.param("without_a_run", {}, (), id="first_run"),
    pytest.param("with_the_old_set", OLD, ("notes.txt",), id="change"),
    pytest.param("with_leftovers", NEW, (), id="leftovers"),
]


@pytest.mark.parametrize(("prepare", "before", "notes"), SCENARIOS)
def test_kill9_midway(node, prepare, before, notes):
    """Killed at any call that changes something: the old set or the new, and the next run heals."""
    prepare = getattr(node, prepare)
    prepare()
    calls = node.run.calls()
    node.assert_settled(notes)
    for call in calls:
        prepare()
        done = node.run.broken(call, "signal=KILL")
        assert done.returncode == -9, call
        assert node.state() in (before, NEW), call
        node.deliver()
        node.assert_settled(notes)
    assert node.deliver()["changed"] is False


def first_and_last(calls):
    """Return the calls without those between the first and the last of a name."""
    first = {call[0]: call for call in reversed(calls)}
    last = {call[0]: call for call in calls}
    return [call for call in calls if call in (first[call[0]], last[call[0]])]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("prepare", "before", "notes"), SCENARIOS)
def test_failing_calls(node, prepare, before, notes, error):
    """A disk that is full, broken or used up at any call: a clear message, and no half set."""
    prepare = getattr(node, prepare)
    prepare()
    # Whether there was an access list to remove, the comparison of the next run finds out.
    calls = [call for call in node.run.calls() if call[0] != "fremovexattr"]
    if error != "ENOSPC":
        # The module takes one of these errors as the other, so one of them is tried at each call.
        calls = first_and_last(calls)
    prepare()
    files = set(tree(node.place))
    for call in calls:
        done = node.run.broken(call, f"error={error}")
        assert done.returncode == 1, call
        assert not done.stderr, call
        result = json.loads(done.stdout)
        assert ERRORS[error] in result["msg"], call
        if result.get("published"):
            assert "the credentials ARE published" in result["msg"]
            assert node.state() == NEW, call
            node.deliver()
            node.assert_settled(notes)
        else:
            assert "nothing was published, the former set stays" in result["msg"], call
            assert node.state() == before, call
            # It has cleaned up itself, the store apart.
            assert {name for name in tree(node.place) if name not in STORE} == files - STORE
        if result.get("published") or not before:
            prepare()
    node.deliver()
    node.assert_settled(notes)


def test_all_is_on_the_disk_before_the_link(node):
    """The new file, what is to be told, the generation and the store; after it, its directory."""
    node.with_the_old_set()
    calls = node.run.calls()
    names = [name for name, _, _ in calls]
    link = names.index("symlinkat")
    synced = [re.sub(r".*/|>.*", "", line) for name, _, line in calls[:link] if name == "fsync"]
    generation = node.credentials.readlink().name
    assert synced == ["C.json", ".unlogged", ".untold", generation, ".credentials"]
    assert names[link : link + 3] == ["symlinkat", "renameat", "fsync"]
    assert re.search(rf"<{node.place}>\)", calls[link + 2][2])


KERNEL = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


@pytest.mark.parametrize(
    ("release", "syncfs", "fsync"),
    [
        pytest.param(
            "6.1.0-18-amd64",
            1,
            0,
            id="at_once",
            marks=pytest.mark.skipif(KERNEL < (5, 8), reason="this kernel's syncfs hides errors"),
        ),
        pytest.param("5.7.19", 0, 100, id="one_by_one"),
        pytest.param("unheard-of", 0, 100, id="unknown"),
    ],
)
def test_many_files_come_to_the_disk(node, monkeypatch, release, syncfs, fsync):
    """At once, where the kernel then tells of what could not be written."""
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(release=release))
    many = {f"N{number}": credential(str(number)) for number in range(100)}
    run = Traced("credential_files", {**node.arguments, "credentials": many}, node.place)
    node.with_the_old_set()
    calls = run.calls()
    assert [name for name, _, _ in calls].count("syncfs") == syncfs
    assert sum("fsync" in line and ".json>" in line for _, _, line in calls) == fsync
    node.with_the_old_set()
    last = [call for call in calls if "syncfs" in call[0] or "N99.json>" in call[2]][-1]
    assert last[0] in ("syncfs", "fsync")
    message = json.loads(run.broken(last, "error=EIO").stdout)["msg"]
    assert "Input/output error" in message
    assert "nothing was published" in message
    assert node.state() == OLD


@pytest.fixture
def small_disk(place):
    """Return a file system of 256 KiB."""
    directory = place / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", directory],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.fixture
def deliver(place):
    """Return the module; two credentials are delivered already."""
    module = Module(
        "credential_files",
        path=str(place / "credentials"),
        group=str(GROUP),
        credentials={name: credential(value) for name, value in OLD.items()},
    )
    module()
    return module


def test_disk_full(small_disk, deliver):
    """In the middle of a set, and of the status file behind a set that just fits."""
    there = {"path": str(small_disk / "credentials"), "status": str(small_disk / "status.json")}
    deliver(**there)
    before = tree(small_disk)
    result = deliver.failed(
        **there,
        credentials={f"N{number}": credential("x" * 10_000) for number in range(40)},
    )
    assert "No space left on device: 'N" in result["msg"]
    assert "the former set stays" in result["msg"]
    assert tree(small_disk).keys() == before.keys()
    assert passwords(small_disk / "credentials") == OLD
    with (small_disk / "other").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    result = deliver.failed(**there)
    assert "No space left on device" in result["msg"]
    assert "ARE published" in result["msg"]
    assert tree(small_disk)["status.json"] == before["status.json"]
    (small_disk / "other").unlink()
    assert deliver(**there)["changed"] is False


@pytest.fixture
def victims(place):
    """Return a directory of root's with files; the test fails when anything changes them."""
    directory = place / "outside"
    directory.mkdir()
    (directory / "A.json").write_text("for a symbolic link")
    # The kernel lets others make hard links only to what they may write themselves.
    (directory / "B.json").write_text("for a hard link")
    (directory / "B.json").chmod(0o666)
    os.utime(directory / "B.json", (0, 0))
    before = {name: entry[1:] for name, entry in tree(directory).items()}
    yield directory
    assert {name: entry[1:] for name, entry in tree(directory).items()} == before


def test_swapped_after_the_comparison(place, deliver, victims):
    """A file that was good when it was compared is looked at again before it is published."""
    arguments = deliver.arguments
    wanted = {"A": credential("first"), "B": credential("new")}
    for swap in (Path.symlink_to, lambda path, target: os.link(target, path)):
        store = Store(arguments["path"], "0", arguments["group"])
        plan = store.plan(DesiredSet(wanted), store.open())
        assert "A" in plan.unchanged
        path = place / "credentials/A.json"
        path.unlink()
        swap(path, victims / "B.json")
        store.publish(plan, lambda _: [], False)
        store.clean()
        assert passwords(place / "credentials") == {"A": "first", "B": "new"}
        assert path.lstat().st_nlink == 1
        for descriptor in (store.parent_fd, store.fd):
            os.close(descriptor)


def swaps(place, victims):
    """Return what an account does that wants root to write, change or remove somebody else's file.

    All of its directory is swapped for links, one after the other, also for what is nobody's but
    lies in it; what it can read of the credentials, it returns.
    """
    credentials, store, aside = place / "credentials", place / ".credentials", place / "aside"
    turns = iter(range(1_000_000))

    def make(path):
        kind = next(turns) % 3
        if kind == 0:
            path.symlink_to(victims / "A.json")
        elif kind == 1:
            os.link(victims / "B.json", path)
        else:
            path.symlink_to(victims)

    def work():
        with contextlib.suppress(OSError):
            places = [store, credentials, store / ".lock", store / ".key", place / "status.json"]
            with contextlib.suppress(OSError):
                for generation in store.iterdir():
                    places += [generation, *generation.glob("*.json"), generation / ".unlogged"]
            for path in [credentials / "A.json", credentials / "B.json", *places]:
                with contextlib.suppress(OSError):
                    found = path.read_text()
                    if "hunter" in found:
                        return str(path)
            path = places[next(turns) % len(places)]
            for old in (aside, place / "moved"):
                with contextlib.suppress(OSError):
                    old.unlink()
            make(aside)
            if path.is_dir() and not path.is_symlink():
                path.rename(place / f"moved{next(turns) % 5}")
            aside.rename(path)
        return None

    return work


@pytest.mark.parametrize("owner", [0, NOBODY], ids=["of_root", "of_the_account"])
def test_swapped_by_another_user(place, victims, owner):
    """An account that owns the directory swaps everything in it while root's run works there."""
    directory = place / "of-nobody"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    deliver = Module(
        "credential_files",
        path=str(directory / "credentials"),
        status=str(directory / "status.json"),
        owner=str(owner),
        group=str(GROUP if owner == 0 else NOBODY),
    )
    messages = []
    with other_process(swaps(directory, victims), account=NOBODY) as end:
        for number in range(30):
            values = {"A": credential("hunter-22"), "B": credential(f"hunter-{number}")}
            done = execute("credential_files", {**deliver.arguments, "credentials": values})
            assert "Traceback" not in done.stdout + done.stderr
            messages.append(json.loads(done.stdout).get("msg", ""))
        read = end()
    # What belongs to the account, it may read. All else it must not.
    assert not [path for path in read if owner == 0 or "Traceback" in path], read
    assert any(messages), "it has never been in the way"
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    deliver(credentials={"A": credential("hunter-22")})
    assert passwords(directory / "credentials") == {"A": "hunter-22"}


@pytest.mark.parametrize("name", [".credentials", "status.json"])
def test_directory_of_root_under_our_name(place, victims, name):
    """An account does not get a directory of root's by giving it a name that is ours."""
    directory = place / "of-nobody"
    directory.mkdir()
    shutil.copytree(victims, directory / name)
    os.chown(directory, NOBODY, NOBODY)
    before = tree(directory)
    deliver = Module(
        "credential_files",
        path=str(directory / "credentials"),
        status=str(directory / "status.json"),
        owner=str(NOBODY),
        group=str(NOBODY),
        credentials={"A": credential()},
    )
    message = deliver.fails()
    assert "belongs to another account" in message or "is a directory: move it away" in message
    assert {n: e for n, e in tree(directory).items() if n in before} == before


def test_readers_while_it_publishes(place, deliver, monkeypatch):
    """Processes that read all the time, as tasks do: no error, and never two renders mixed."""
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(place / "credentials"))

    def pair(number):
        return credential(f"pass-{number}", user=f"user-{number}", host=f"host-{number}")

    def read():
        found = get_credentials("A")
        numbers = {found[key].removeprefix(f"{key}-") for key in ("user", "host", "pass")}
        if len(numbers) > 1:
            raise AssertionError(numbers)
        return int(*numbers)

    deliver(credentials={"A": pair(0), "B": credential("same")})
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(other_process(read, account=NOBODY, groups=[GROUP]))
            for _ in range(2)
        ]
        for number in range(1, 25):
            deliver(credentials={"A": pair(number), "B": credential("same")})
        results = [end() for end in readers]
    for seen in results:
        assert all(isinstance(number, int) for number in seen), seen[-1]
        assert len(set(seen)) > 5
        assert seen == sorted(seen), "an older one after a newer one"


def test_set_consistency(place, deliver):
    """Whoever holds the directory finds one render in it, and never a user of another."""

    def read():
        directory = os.open(place / "credentials", os.O_RDONLY | os.O_DIRECTORY)
        found = set()
        for name in ("A.json", "B.json"):
            with contextlib.suppress(FileNotFoundError):  # This generation has just been removed.
                file = os.open(name, os.O_RDONLY, dir_fd=directory)
                values = json.loads(os.read(file, 10_000))
                os.close(file)
                found |= {values["pass"], values["user"]}
        os.close(directory)
        return sorted(found) or None

    def both(number):
        return {name: credential(number, user=number) for name in ("A", "B")}

    deliver(credentials=both("0"))
    with other_process(read) as end:
        for number in map(str, range(1, 25)):
            deliver(credentials=both(number))
        seen = end()
    assert len({*map(tuple, seen)}) > 5
    assert all(len(found) == 1 for found in seen), [found for found in seen if len(found) > 1]


def test_create_mode_race(place, deliver):
    """Polling by another process never sees a mode wider than the last one."""
    with other_process(lambda: widest_modes(place)) as end:
        for number in range(10):
            many = {f"N{i}": credential(f"{number}-{i}") for i in range(50)}
            deliver(credentials=many, status=str(place / "status.json"))
        seen = end()
    assert len(seen) > 10
    for files, directories in seen:
        assert files & ~0o600 & ~0o440 == 0, f"{files:o}"  # The lock is 0600.
        assert directories & ~0o750 == 0, f"{directories:o}"
