"""A unit's secret in a file: with a systemd-creds that does as told, and with the real one."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from credential_testing import NOBODY, ROOT, Module, environment, execute, tree

SECRET = "hunter-22\n"
# Encrypts in its way, notes how it was called, and misbehaves as the file "faults" says.
STUB = r"""
import base64, json, os, signal, sys
from pathlib import Path

NULL_KEY = b"BYRp2vb1QySABUnaD46i"
here = Path(sys.argv[0]).parent
verb, name, *options, source, target = sys.argv[1:]
with open(here / "calls", "a") as calls:
    calls.write(json.dumps({"verb": verb, "argv": sys.argv, "environ": dict(os.environ)}) + "\n")
fault = json.loads((here / "faults").read_text()).get(verb)
assert name.startswith("--name=") and [source, target] == ["-", "-"]
data = sys.stdin.buffer.read()
if fault == "hangs":
    signal.pause()
if fault == "fails":
    sys.exit("Key file is not on encrypted media, using anyway.\nNo key available.")
key = Path(os.environ["SYSTEMD_CREDENTIAL_SECRET"])
if verb == "encrypt":
    assert options in (["--with-key=auto"], ["--with-key=host"])
    if not key.exists():
        key.write_text(os.urandom(8).hex())
    sealed = [key.read_text(), name, os.urandom(8).hex(), base64.b64encode(data).decode()]
    start = NULL_KEY if fault == "null" else b""
    out = start + base64.encodebytes(json.dumps(sealed).encode())
else:
    assert verb == "decrypt" and options == []
    try:
        found = json.loads(base64.b64decode(data.removeprefix(NULL_KEY)))
        assert found[:2] == [key.read_text(), name]
    except Exception:
        sys.exit("Decryption failed (incorrect key?)")
    out = b"x" if fault == "garbles" else base64.b64decode(found[3])
sys.stdout.buffer.write(out)
"""


def module(path, name="vault_password"):
    """Return the module with its usual arguments; its `name` is not that of Module."""
    made = Module("systemd_credential")
    made.arguments = {"name": name, "path": str(path), "content": SECRET}
    return made


class Stub:
    """The systemd-creds that the module finds first."""

    def __init__(self, folder):
        self.program = folder / "systemd-creds"
        self.key = folder / "key"
        self.program.write_text(f"#!{sys.executable} -ISB\n{STUB}")
        self.program.chmod(0o755)
        self.works()

    def works(self):
        self.faults()

    def faults(self, **faults):
        self.program.with_name("faults").write_text(json.dumps(faults))

    def calls(self):
        """Return the calls since the last time."""
        file = self.program.with_name("calls")
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def verbs(self):
        return [call["verb"] for call in self.calls()]

    def decrypt(self, path):
        return subprocess.run(
            [self.program, "decrypt", "--name=vault_password", "-", "-"],
            input=path.read_bytes(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout


@pytest.fixture
def folder(place):
    """Return the directory of the file; what the stub needs is elsewhere."""
    path = place / "etc"
    path.mkdir()
    return path


@pytest.fixture
def path(folder):
    return folder / "secret"


@pytest.fixture
def stub(place, monkeypatch):
    made = place / "bin"
    made.mkdir()
    monkeypatch.setenv("PATH", str(made), prepend=os.pathsep)
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(made / "key"))
    return Stub(made)


@pytest.fixture
def write(path, stub):  # noqa: ARG001 - never without the stub
    return module(path)


def outcome(result):
    """Return the kinds of change, and how the unit loads the file."""
    return result["changes"], result["directive"]


ENCRYPTED = "LoadCredentialEncrypted"
PLAIN = "LoadCredential"


def test_created(path, stub, write):
    result = write()
    assert result["changes"] == ["created"]
    assert (result["encrypted"], result["directive"]) == (True, ENCRYPTED)
    assert result["reason"] is None
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (0, 0)
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert SECRET.encode() not in path.read_bytes()
    assert stub.decrypt(path) == SECRET.encode()


def test_idempotent(folder, stub, write):
    write()
    before = tree(folder)
    stub.calls()
    result = write()
    assert (result["changed"], result["changes"]) == (False, [])
    assert result["encrypted"] is True
    assert tree(folder) == before
    assert stub.verbs() == ["decrypt"]


def test_another_secret(path, stub, write):
    write()
    before = path.read_bytes()
    assert outcome(write(check=True, content="new")) == (["content"], ENCRYPTED)
    assert path.read_bytes() == before
    assert outcome(write(content="new")) == (["content"], ENCRYPTED)
    assert stub.decrypt(path) == b"new"


def damage(path, stub):  # noqa: ARG001 - called as the others are
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def move_to_another_machine(path, stub):  # noqa: ARG001 - called as the others are
    stub.key.write_text("another key")


def rename(path, stub):  # noqa: ARG001 - called as the others are
    path.unlink()
    module(path, "another")()


def write_plain(path, stub):  # noqa: ARG001 - called as the others are
    path.write_text("an old secret in plain")


def empty(path, stub):  # noqa: ARG001 - called as the others are
    path.write_text("")


def fill(path, stub):  # noqa: ARG001 - called as the others are
    """More than it is worth reading."""
    os.truncate(path, 1024**4)


@pytest.mark.parametrize(
    "spoil", [damage, move_to_another_machine, rename, write_plain, empty, fill]
)
def test_what_does_not_open_is_written_anew(path, stub, write, spoil):
    write()
    spoil(path, stub)
    assert {"encryption", "content"} <= {*write(check=True)["changes"]}
    result = write()
    assert result["diff"]["before"]["encryption"] == "plain or not for this host and name"
    assert result["diff"]["after"]["encryption"] == "encrypted"
    assert stub.decrypt(path) == SECRET.encode()
    assert write()["changed"] is False


@pytest.mark.parametrize(
    ("drift", "kind"),
    [
        (lambda path: path.chmod(0o644), "mode"),
        (lambda path: os.chown(path, NOBODY, 0), "owner"),
        (lambda path: os.chown(path, 0, NOBODY), "group"),
        (lambda path: os.link(path, path.with_name("another")), "links"),
    ],
    ids=["mode", "owner", "group", "hardlink"],
)
def test_drift(path, write, drift, kind):
    write()
    ciphertext = path.read_bytes()
    drift(path)
    inode = path.stat().st_ino
    assert outcome(write()) == ([kind], ENCRYPTED)
    status = path.stat()
    assert status.st_ino != inode
    assert (status.st_uid, status.st_gid, status.st_nlink) == (0, 0, 1)
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert path.read_bytes() == ciphertext


def no_command(stub, monkeypatch):  # noqa: ARG001 - called as the others are
    monkeypatch.setenv("PATH", "/nowhere")


def no_start(stub, monkeypatch):  # noqa: ARG001 - called as the others are
    stub.program.write_text("#!/nowhere/python3\n")


def fault(**faults):
    def arrange(stub, monkeypatch):  # noqa: ARG001 - called as the others are
        stub.faults(**faults)

    return arrange


UNABLE = [
    pytest.param(
        no_command,
        "there is no systemd-creds on this host, which comes with systemd 250 and later",
        id="no_command",
    ),
    pytest.param(
        no_start, "systemd-creds can't be started: No such file or directory", id="no_start"
    ),
    pytest.param(
        fault(encrypt="fails"),
        "`systemd-creds encrypt` ended with 1: No key available.",
        id="encrypt_fails",
    ),
    pytest.param(
        fault(decrypt="fails"),
        "`systemd-creds decrypt` does not give back what it has encrypted",
        id="decrypt_fails",
    ),
    pytest.param(
        fault(decrypt="garbles"),
        "`systemd-creds decrypt` does not give back what it has encrypted",
        id="decrypt_garbles",
    ),
    pytest.param(
        fault(encrypt="null"),
        "`systemd-creds decrypt` does not give back what it has encrypted",
        id="null_key",
    ),
]


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
@pytest.mark.parametrize(("arrange", "reason"), UNABLE)
def test_auto_on_a_host_that_cannot_encrypt(
    folder, path, stub, write, monkeypatch, arrange, reason, check
):
    arrange(stub, monkeypatch)
    result = write(check=check)
    assert outcome(result) == (["created"], PLAIN)
    assert (result["encrypted"], result["reason"]) == (False, reason)
    if check:
        assert list(folder.iterdir()) == []
        assert not stub.key.exists()
        return
    assert path.read_text() == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    before = tree(folder)
    result = write()
    assert (outcome(result), result["reason"]) == (([], PLAIN), reason)
    assert tree(folder) == before


@pytest.mark.parametrize(("arrange", "reason"), UNABLE)
def test_always_on_a_host_that_cannot_encrypt(
    folder, path, stub, write, monkeypatch, arrange, reason
):
    arrange(stub, monkeypatch)
    message = write.fails(encrypt="always")
    assert message == (
        f"{path}: the secret can't be encrypted: {reason} (`encrypt: auto` would keep it in plain)"
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("encrypt", ["auto", "always"])
def test_plain_becomes_encrypted(path, stub, write, encrypt):
    """Where the host has learnt it."""
    stub.faults(encrypt="fails")
    write()
    stub.works()
    assert outcome(write(check=True, encrypt=encrypt)) == (["encryption"], ENCRYPTED)
    assert path.read_text() == SECRET
    result = write(encrypt=encrypt)
    assert outcome(result) == (["encryption"], ENCRYPTED)
    assert result["diff"]["before"] == {"encryption": "plain"}
    assert result["diff"]["after"] == {"encryption": "encrypted"}
    assert stub.decrypt(path) == SECRET.encode()
    assert write(encrypt=encrypt)["changed"] is False


def test_encrypted_becomes_plain(path, stub, write):
    write()
    stub.calls()
    result = write(encrypt="never")
    assert outcome(result) == (["encryption"], PLAIN)
    assert result["diff"]["before"] == {"encryption": "encrypted"}
    assert result["reason"] == "the task says `encrypt: never`"
    assert path.read_text() == SECRET
    stub.calls()
    assert write(encrypt="never")["changed"] is False
    assert stub.calls() == []


def test_both_at_once(path, write):
    write()
    assert write(encrypt="never", content="new")["changes"] == ["encryption", "content"]
    assert path.read_text() == "new"


def test_a_key_that_everybody_has_is_none(path, stub, write):
    """Somebody has encrypted it --with-key=null."""
    stub.faults(encrypt="null")
    path.write_bytes(
        subprocess.run(
            [stub.program, "encrypt", "--name=vault_password", "--with-key=auto", "-", "-"],
            input=SECRET.encode(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )
    assert stub.decrypt(path) == SECRET.encode()
    stub.works()
    assert "encryption" in write()["changes"]
    assert not path.read_bytes().startswith(b"BYRp2")


def test_auto_does_not_put_an_encrypted_secret_into_plain(folder, path, stub, write):
    write()
    before = tree(folder)
    stub.faults(encrypt="fails")
    assert write()["changed"] is False
    assert write.fails(content="another-s3cret") == (
        f"{path}: the file is encrypted, but a new secret can't be: `systemd-creds encrypt` ended"
        " with 1: No key available.; nothing was changed (`encrypt: never` would keep it in plain)"
    )
    assert tree(folder) == before


@pytest.mark.parametrize("verb", ["encrypt", "decrypt"])
def test_stuck(folder, path, stub, write, monkeypatch, verb):
    write()
    before, run = tree(folder), subprocess.run

    def impatient(command, *, timeout, **options):
        assert timeout == 60
        return run(command, timeout=0.1 if command[1] == verb else timeout, **options)

    stub.faults(**{verb: "hangs"})
    # The module's runs are forks of this process, so they have it too.
    monkeypatch.setattr(subprocess, "run", impatient)
    message = write.fails(content="another-s3cret")
    assert message.startswith(f"{path}: `systemd-creds {verb}` has not ended after 60 seconds")
    assert "nothing was changed" in message
    assert tree(folder) == before
    write(content="another-s3cret", encrypt="never")
    assert path.read_text() == "another-s3cret"


def test_check_mode(folder, stub, write):
    assert outcome(write(check=True)) == (["created"], ENCRYPTED)
    assert list(folder.iterdir()) == []
    assert not stub.key.exists(), "encrypting has made the host's key"
    write()
    key, before = stub.key.read_text(), tree(folder)
    stub.calls()
    assert outcome(write(check=True, content="new")) == (["content"], ENCRYPTED)
    assert "--with-key=auto" in stub.calls()[1]["argv"], "the host's own key is there to be tried"
    assert outcome(write(check=True, encrypt="never")) == (["encryption"], PLAIN)
    assert write(check=True)["changed"] is False
    assert write(check=True, state="absent")["changes"] == ["removed"]
    assert (stub.key.read_text(), tree(folder)) == (key, before)


def test_check_mode_on_a_fresh_node(write):
    result = write(check=True, path="/nowhere/secret")
    assert outcome(result) == (["created"], ENCRYPTED)


@pytest.mark.parametrize("encrypt", ["auto", "never"])
def test_absent(folder, stub, write, encrypt):
    write(encrypt=encrypt)
    stub.calls()
    result = write(state="absent", content=None)
    assert result["changes"] == ["removed"]
    assert "directive" not in result
    assert list(folder.iterdir()) == []
    assert write(state="absent", content=None)["changed"] is False
    assert write(state="absent", content=None, path="/nowhere/secret")["changed"] is False
    assert stub.calls() == []


def test_leftover_tmp(folder, write):
    write()
    (folder / ".secret.0123456789abcdef.tmp").write_text("half a sec")
    (folder / "secret.bak").write_text("unmanaged_file")
    assert write(check=True)["changes"] == ["leftover"]
    assert write()["changes"] == ["leftover"]
    assert {file.name for file in folder.iterdir()} == {"secret", "secret.bak"}


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(
    "put",
    [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, Path.mkdir],
    ids=["symlink_dest", "fifo", "directory"],
)
def test_what_is_no_file(path, write, put, state):
    put(path)
    kind = path.lstat().st_mode
    assert "something else that is not a regular file" in write.fails(state=state)
    assert path.lstat().st_mode == kind


def test_symlink_parent(place, folder, write):
    (place / "link").symlink_to(folder)
    assert f"{place}/link is a symbolic link" in write.fails(path=f"{place}/link/secret")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["${x} {{ y }} %d 'z' \"q\" \\", "ü密🔑\n\n", "\x00\x01", "x" * 1024 * 1024],
    ids=["quotes", "unicode", "control", "largest"],
)
@pytest.mark.parametrize("encrypt", ["always", "never"])
def test_odd_values(path, stub, write, content, encrypt):
    assert write(content=content, encrypt=encrypt)["changed"] is True
    expected = content.encode("utf-8", "surrogateescape")
    assert (path.read_bytes() if encrypt == "never" else stub.decrypt(path)) == expected
    assert write(content=content, encrypt=encrypt)["changed"] is False


def test_content_that_is_no_text(write):
    """In a process of its own: what else this one has imported reads such text in other ways."""
    arguments = {**write.arguments, "content": "\ud800"}
    done = execute("systemd_credential", arguments, wrapper=["env"])
    assert json.loads(done.stdout)["msg"].endswith("secret: content is no valid Unicode text")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content": ""}, "content is missing or empty: give the secret, or state: absent"),
        ({"content": None}, "content is missing or empty"),
        (
            {"content": "ü" * 524_289},
            "content has 1048578 bytes, and systemd takes credentials of up to 1048576 bytes",
        ),
        ({"path": "secret"}, "'secret': give an absolute path"),
        ({"path": "/srv/../secret"}, "give an absolute path"),
        ({"path": "/nowhere/secret"}, "/nowhere does not exist: create it first"),
        ({"path": f"/{'x' * 256}"}, "File name too long"),
        ({"name": ""}, "name '': a credential is called by up to 255 letters, digits and ._@+-"),
        ({"name": ".."}, "name '..'"),
        ({"name": "a/b"}, "name 'a/b'"),
        ({"name": "a:b"}, "name 'a:b'"),
        ({"name": "a b"}, "name 'a b'"),
        ({"name": "a%n"}, "name 'a%n'"),
        ({"name": "a\n"}, "name 'a\\n'"),
        ({"name": "a" * 256}, "a credential is called by up to 255"),
        ({"encrypt": "yes"}, "value of encrypt must be one of: auto, always, never"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_messages(folder, stub, write, changes, message):
    assert message in write.fails(**changes)
    assert list(folder.iterdir()) == []
    assert stub.calls() == []


def test_secret_is_in_no_argument_environment_or_result(stub, write):
    write(content="old-s3cret")
    done = execute("systemd_credential", {**write.arguments, "content": "new-s3cret"})
    assert json.loads(done.stdout)["diff"]["before"] == {"content": "another"}
    calls = stub.calls()
    assert {call["verb"] for call in calls} == {"encrypt", "decrypt"}
    assert "s3cret" not in done.stdout + done.stderr + json.dumps(calls)


def ansible(place, **variables):
    """Run the module as a task; return the process with all that it says."""
    given = place / "variables.json"
    given.write_text(json.dumps({"secret": "c4nary-s3cret", **variables}))
    arguments = {"name": "x", "path": f"{place}/etc/secret", "content": "{{ secret }}"}
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("ansible"), "localhost", "-vvvvv", "--diff"),
            *("--connection=local", f"--extra-vars=@{given}", "--module-name"),
            *("caspian.airflow.systemd_credential", f"--args={json.dumps(arguments)}"),
        ],
        cwd=ROOT,
        env={**environment(), "HOME": str(place), "SYSTEMD_CREDENTIAL_SECRET": f"{place}/bin/key"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("stub")
def test_ansible_shows_no_secret(place, path):
    done = ansible(place)
    assert done.returncode == 0, done.stdout
    assert "created: present" in done.stdout
    assert path.exists()
    assert "s3cret" not in done.stdout


def test_refuses_without_pipelining(place, folder):
    done = ansible(place, ansible_pipelining=False)
    assert done.returncode != 0
    assert "Pipelining is off for this connection" in done.stdout
    assert list(folder.iterdir()) == []


def test_the_real_systemd_creds(place, path, monkeypatch):
    """With a key of its own. What it can do here, on this disk, is what the module says."""
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(place / "key"))
    real = shutil.which("systemd-creds")
    able = (
        real is not None
        and not subprocess.run(
            [real, "encrypt", "--name=vault_password", "--with-key=auto", "-", "-"],
            input=SECRET.encode(),
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode
    )
    write = module(path)
    result = write()
    assert result["changes"] == ["created"]
    assert result["encrypted"] is able, result["reason"]
    assert (path.read_text() == SECRET) is not able
    assert write()["changed"] is False
    assert write(content="new")["changes"] == ["content"]
    assert write(content="new")["changed"] is False
    assert write(content="new", encrypt="never")["changed"] is able
    assert path.read_text() == "new"
