"""Reading credentials: the scenarios of a reader that trusts no file unseen."""

import contextlib
import copy
import errno
import itertools
import json
import logging
import multiprocessing
import os
import pickle
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rax import _file_identity
from rax._printable import printable
from rax.credentials import Credential, get_credentials, list_credentials, secret_values
from rax.errors import (
    CredentialNotFoundError,
    InsecureCredentialError,
    MalformedCredentialError,
    RaxError,
    UnreadableCredentialError,
)

NAME = "EBI-ETL-DEV-01"
SECRET = "s3cr3t-canary"


def record(**changes):
    fields = {
        "user": "etl",
        "pass": SECRET,
        "host": "db",
        "url": f"https://etl:{SECRET}@db/",
        "description": "",
        "metadata": {"port": 5432, "token": SECRET},
    }
    return fields | changes


def write(path, content, mode=0o600):
    path.unlink(missing_ok=True)
    path.touch(mode)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(mode)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    return folder


@pytest.fixture
def always_settled(monkeypatch):
    """Let a file be cached that was written just now."""
    monkeypatch.setattr(_file_identity, "_SETTLED_NS", -(10**18))


@pytest.fixture
def file(folder):
    return write(folder / f"{NAME}.json", record())


@pytest.mark.usefixtures("file")
def test_a_credential_has_its_six_fields():
    credential = get_credentials(NAME)
    assert dict(credential) == record()
    assert list(credential) == ["user", "pass", "host", "url", "description", "metadata"]
    assert len(credential) == 6
    assert credential.name == NAME


@pytest.mark.usefixtures("file")
def test_a_credential_cannot_be_changed():
    credential = get_credentials(NAME)
    with pytest.raises(TypeError):
        credential["pass"] = "other"
    with pytest.raises(TypeError):
        credential["metadata"]["port"] = 1
    with pytest.raises(AttributeError):
        credential.name = "other"
    assert copy.copy(credential) is credential
    assert copy.deepcopy(credential) is credential


@pytest.mark.parametrize(
    "value", ["", "${HOME}", "{{ x }}", "%(a)s", "'\"\\", "a\nb\r\n\t", "пароль 🔑", "x" * 65536]
)
def test_odd_values_arrive_unchanged(folder, value):
    write(folder / f"{NAME}.json", record(**{"pass": value}))
    assert get_credentials(NAME)["pass"] == value


def owned_by(uid, file, monkeypatch):
    """Let fstat say that the file belongs to uid, and this process to 12345."""
    real = file.stat()
    status = list(real)
    status[stat.ST_UID] = uid
    times = {"st_mtime_ns": real.st_mtime_ns, "st_ctime_ns": real.st_ctime_ns}
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result(status, times))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.mark.parametrize(("uid", "mode"), [
    (0, 0o400), (0, 0o440), (0, 0o600), (0, 0o640), (12345, 0o400), (12345, 0o600),
])  # fmt: skip
def test_good_modes(file, monkeypatch, uid, mode):
    file.chmod(mode)
    owned_by(uid, file, monkeypatch)
    assert get_credentials(NAME)["pass"] == SECRET


@pytest.mark.parametrize(("uid", "mode"), [
    (0, 0o644), (0, 0o660), (0, 0o641), (0, 0o750), (0, 0o4640),
    (12345, 0o640), (12345, 0o620), (12345, 0o604), (12345, 0o700),
])  # fmt: skip
def test_loose_mode(file, monkeypatch, uid, mode):
    file.chmod(mode)
    owned_by(uid, file, monkeypatch)
    allowed = "0600" if uid else "0640"
    expected = f"{file}: has the mode {mode:04o}, wider than {allowed}"
    with pytest.raises(InsecureCredentialError, match=re.escape(expected)):
        get_credentials(NAME)


def test_wrong_owner(file, monkeypatch):
    if os.geteuid() == 0:
        os.chown(file, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(InsecureCredentialError, match=rf"{NAME}\.json: belongs to the user id \d+"):
        get_credentials(NAME)


def symlink(path):
    target = write(path.with_name("elsewhere"), record())
    path.symlink_to(target)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        # A socket's path is short.
        here = Path.cwd()
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize("make", [symlink, unix_socket, os.mkfifo, os.mkdir])
def test_non_regular(folder, make):
    path = folder / f"{NAME}.json"
    make(path)
    with pytest.raises(InsecureCredentialError, match=re.escape(f"{path}: is not a regular file")):
        get_credentials(NAME)


@pytest.mark.usefixtures("always_settled")
def test_rotate_live(folder, file):
    """The new value without a restart, even where size and times are those of the old file."""
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    assert get_credentials(NAME)["pass"] == SECRET
    new = write(folder / ".new", record(**{"pass": SECRET[::-1]}))
    os.utime(new, ns=times)
    new.rename(file)
    assert get_credentials(NAME)["pass"] == SECRET[::-1]


@pytest.mark.usefixtures("always_settled")
def test_rotate_live_in_place(file):
    """Neither inode, size nor mtime tell it; the time of the last change does."""
    first = file.stat()
    assert get_credentials(NAME)["pass"] == SECRET
    with file.open("r+") as opened:
        opened.write(json.dumps(record(**{"pass": SECRET[::-1]})))
    while file.stat().st_ctime_ns == first.st_ctime_ns:  # until its clock has ticked
        file.chmod(0o600)
    os.utime(file, ns=(first.st_atime_ns, first.st_mtime_ns))
    assert get_credentials(NAME)["pass"] == SECRET[::-1]


def read_while_it_flips(results):
    """Read 2,500 times; say what went wrong, and of how many sets the credentials were."""
    try:
        read = [get_credentials(NAME) for _ in range(2_500)]
    except Exception as error:
        results.put(("error", repr(error)))
        return
    torn = [one for one in read if not one["user"] == one["pass"] == one["url"]]
    results.put((f"{len(torn)} are torn" if torn else "fine", len({one["user"] for one in read})))


@pytest.mark.timeout(60)
def test_read_during_flip(tmp_path, monkeypatch):
    """No error in 10,000 reads of four processes while generations are published and removed."""
    link = tmp_path / "credentials"
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(link))
    publisher = subprocess.Popen([sys.executable, "-c", FLIP, tmp_path], stdout=subprocess.PIPE)
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    readers = [fork.Process(target=read_while_it_flips, args=(results,)) for _ in range(4)]
    try:
        publisher.stdout.readline()
        for reader in readers:
            reader.start()
        found = [results.get() for _ in readers]
        for reader in readers:
            reader.join()
    finally:
        publisher.kill()
        publisher.communicate()
    assert [outcome for outcome, _ in found] == ["fine"] * 4
    assert all(sets > 10 for _, sets in found), "none was published meanwhile"


FLIP = f"""
import itertools, json, os, pathlib, shutil, sys
root = pathlib.Path(sys.argv[1])
old = None
for number in itertools.count():
    new = root / ".credentials" / str(number)
    new.mkdir(parents=True)
    file = new / "{NAME}.json"
    file.touch(0o600)
    value = str(number)
    fields = dict.fromkeys(["user", "pass", "host", "url", "description"], value)
    file.write_text(json.dumps(fields | {{"metadata": {{}}}}))
    (root / "link").symlink_to(new)
    (root / "link").rename(root / "credentials")
    if old:
        shutil.rmtree(old)
    else:
        print(flush=True)
    old = new
"""


@pytest.fixture
def generations(tmp_path, monkeypatch):
    """Publish generation after generation, as the module does, each without the one before."""
    link = tmp_path / "credentials"
    numbers = itertools.count()

    def flip():
        number = next(numbers)
        new = tmp_path / ".credentials" / str(number)
        new.mkdir(parents=True)
        write(new / f"{NAME}.json", record(user=str(number)))
        old = link.resolve() if number else None
        (tmp_path / "new").symlink_to(new)
        (tmp_path / "new").rename(link)
        if old:
            shutil.rmtree(old)

    flip()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(link))
    return flip


def flipping(real, flip, when, times):
    """Wrap a function of os: before a call that when() selects, another generation comes."""
    left = [times]

    def call(*args, **kwargs):
        if left[0] and when(*args, **kwargs):
            left[0] -= 1
            flip()
        return real(*args, **kwargs)

    return call


def test_the_directory_is_replaced_before_its_file_is_opened(generations, monkeypatch):
    monkeypatch.setattr(os, "open", flipping(os.open, generations, lambda *_, **k: k, times=2))
    assert get_credentials(NAME)["user"] == "2"


def test_the_directory_is_replaced_before_it_is_listed(generations, monkeypatch):
    monkeypatch.setattr(os, "listdir", flipping(os.listdir, generations, lambda _: True, times=2))
    assert list_credentials() == [NAME]


def vanishing(real, error, when, times):
    """Wrap a function: as if the kernel had read the link, and then found no such directory."""
    left = [times]

    def call(*args, **kwargs):
        if left[0] and when(*args, **kwargs):
            left[0] -= 1
            raise error
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize("read", [lambda: get_credentials(NAME)["user"], list_credentials])
def test_the_directory_is_removed_while_its_link_is_resolved(generations, monkeypatch, read):
    generations()
    before = read()
    gone = FileNotFoundError(2, "No such file or directory")
    opening = vanishing(os.open, gone, lambda *_, **keywords: not keywords, times=2)
    monkeypatch.setattr(os, "open", opening)
    assert read() == before


def test_the_directory_is_removed_while_it_is_compared(generations, monkeypatch):
    gone = FileNotFoundError(2, "No such file or directory")
    compared = []

    def is_the_link(path, **_):
        compared.append(path)
        return path.name == "credentials"

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", flipping(os.open, generations, lambda *_, **k: k, times=1))
        patch.setattr(Path, "stat", vanishing(Path.stat, gone, is_the_link, times=1))
        assert get_credentials(NAME)["user"] == "1"
    assert [path.name for path in compared].count("credentials") == 1


@pytest.mark.usefixtures("file")
def test_a_directory_that_does_not_keep_still_is_an_error(monkeypatch):
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    with pytest.raises(UnreadableCredentialError, match="is replaced all the time"):
        get_credentials("other")
    with pytest.raises(UnreadableCredentialError, match="is replaced all the time"):
        list_credentials()


@pytest.mark.usefixtures("file")
def test_32_threads():
    found, barrier = [], threading.Barrier(32)

    def read():
        barrier.wait()
        found.extend(get_credentials(NAME) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 32 * 20
    assert all(credential == found[0] for credential in found)


@pytest.mark.usefixtures("always_settled", "file")
def test_32_threads_share_one_object():
    with ThreadPoolExecutor(32) as threads:
        first = get_credentials(NAME)
        found = list(threads.map(lambda _: get_credentials(NAME), range(640)))
    assert {id(credential) for credential in found} == {id(first)}


@pytest.mark.usefixtures("file")
def test_repr_log_traceback_pickle(caplog):
    credential = get_credentials(NAME)
    logging.getLogger("test").warning("%s %r", credential, [credential])
    try:
        credential["passwd"]
    except KeyError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    pickled = pickle.dumps(credential)
    outputs = [
        repr(credential),
        str(credential),
        f"{credential}",
        f"{credential!r:>200}",
        "%s" % {"nested": credential},  # noqa: UP031 - formatting by % is tested too
        caplog.text,
        "".join(shown.format()),
        pickled.decode("latin-1"),
    ]
    assert [output for output in outputs if SECRET in output] == []
    assert all(NAME in output for output in outputs)
    assert isinstance(pickle.loads(pickled), Credential)  # noqa: S301 - its own pickle
    with pytest.raises(TypeError):
        json.dumps(credential)


@pytest.mark.parametrize("content", [
    f'{{"pass": "{SECRET}"'.encode(), f'["{SECRET}"]'.encode(), f"{SECRET}\xff".encode("latin-1"),
    record(host=None), record(**{"pass": [SECRET]}), record(metadata=SECRET), b"",
    record(**{"pass": SECRET + "\ud800"}),
    f'{{"pass": "{SECRET}", "metadata": {"[" * 100_000}'.encode(),
    f'{{"pass": "{SECRET}", "metadata": {"9" * 5000}}}'.encode(),
])  # fmt: skip
def test_malformed_content_is_not_shown(folder, content):
    """Neither by the message nor by anything that a reporter of errors could collect."""
    path = write(folder / f"{NAME}.json", content)
    with pytest.raises(MalformedCredentialError, match=re.escape(f"{path}: ")) as caught:
        get_credentials(NAME)
    assert caught.value.__context__ is None
    frames = [
        frame for frame in traceback.walk_tb(caught.tb) if "rax" in frame[0].f_code.co_filename
    ]
    own = [frame.f_locals for frame, _ in frames if frame.f_code.co_filename != __file__]
    assert own
    assert SECRET not in str(caught.value) + repr(own)


def nested(levels):
    """Return a record whose metadata are that many mappings and lists, one in the other."""
    value = SECRET
    for level in range(levels):
        value = {"deep": value} if level % 2 else [value]
    return record(metadata={"secret": value})


def test_metadata_may_be_nested(folder):
    write(folder / f"{NAME}.json", nested(99))
    assert SECRET in secret_values(get_credentials(NAME))


@pytest.mark.parametrize(("fields", "message"), [
    ({k: v for k, v in record().items() if k != "pass"}, "pass is missing"),
    (record(user=7), "user is not a string"),
    (record(metadata=[]), "metadata is not an object"),
    (b"[]", "is not a JSON object"),
    (b"\xff", "is not UTF-8"),
    (b'{"user": }', "is not JSON: line 1, column 10: Expecting value"),
    (b"[" * 100_000, "is not JSON: a number has too many digits, or it is nested too deeply"),
    (b'{"user": ' + b"9" * 5000 + b"}", "is not JSON: a number has too many digits"),
    (record(description="\udcff"), "has half a character"),
    (json.dumps(record()).encode().replace(b"db", b"\xed\xa0\x80"), "is not UTF-8"),
    (json.dumps(record()).encode("utf-16"), "is not UTF-8"),
    (nested(101), "metadata is nested more than 100 deep"),
    (nested(900), "metadata is nested more than 100 deep"),
])  # fmt: skip
def test_malformed_messages(folder, fields, message):
    write(folder / f"{NAME}.json", fields)
    with pytest.raises(MalformedCredentialError, match=re.escape(f"{NAME}.json: {message}")):
        get_credentials(NAME)


@pytest.mark.parametrize("name", [
    "../outside", "/etc/shadow", "a/b", "..", ".", "", ".hidden", "a\0b", "a\nb", "\ud800",
    "a/../b", "a b", "-a", None, 7,
])  # fmt: skip
def test_path_traversal(folder, name):
    write(folder.parent / "outside.json", record())
    write(folder / ".hidden.json", record())
    with pytest.raises(CredentialNotFoundError, match="is not the name of a credential"):
        get_credentials(name)


@pytest.mark.usefixtures("file")
def test_missing_name(folder):
    write(folder / "EBI-ETL-PRD-01.json", record())
    (folder / "README").touch()
    with pytest.raises(CredentialNotFoundError) as caught:
        get_credentials("EBI-ETL-TEST")
    assert str(caught.value) == (
        f"no credential 'EBI-ETL-TEST' in {folder}: it has EBI-ETL-DEV-01, EBI-ETL-PRD-01"
    )
    assert SECRET not in repr(caught.getrepr())


def test_a_long_list_of_names_is_cut(folder):
    for number in range(30):
        write(folder / f"source-{number:02}.json", record())
    with pytest.raises(CredentialNotFoundError, match=r"source-19 and 10 more$"):
        get_credentials("other")


@pytest.mark.usefixtures("file")
def test_list_credentials(folder):
    write(folder / "a.b_c.json", record())
    write(folder / "A b.json", record())
    write(folder / ".tmp.json", record())
    (folder / "note.txt").touch()
    assert list_credentials() == [NAME, "a.b_c"]


def test_no_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path / "none"))
    for call in (list_credentials, lambda: get_credentials(NAME)):
        with pytest.raises(CredentialNotFoundError, match=r"has refresh_credentials\.yml run"):
            call()


@pytest.mark.usefixtures("file")
def test_an_account_that_may_not_read(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    for call in (list_credentials, lambda: get_credentials(NAME)):
        with pytest.raises(UnreadableCredentialError, match=r"Permission denied .*user airflow"):
            call()


@pytest.mark.usefixtures("file")
def test_too_many_open_files_are_no_answer(monkeypatch):
    """Whoever looks elsewhere for what is not found must not do so now."""
    monkeypatch.setattr(os, "open", refusing(OSError(errno.EMFILE, "Too many open files")))
    for call in (list_credentials, lambda: get_credentials(NAME)):
        with pytest.raises(UnreadableCredentialError, match=r"credentials.*: Too many open files$"):
            call()


def test_a_name_that_no_file_can_have(folder):
    expected = re.escape(f"{folder}/{'a' * 300}.json: File name too long") + "$"
    with pytest.raises(CredentialNotFoundError, match=expected) as caught:
        get_credentials("a" * 300)
    assert type(caught.value) is CredentialNotFoundError


@pytest.mark.usefixtures("file")
def test_descriptors_are_closed(folder):
    (folder / "bad.json").write_bytes(b"")
    (folder / "bad.json").chmod(0o644)
    os.mkfifo(folder / "fifo.json")
    (folder / "folder.json").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in (NAME, "bad", "fifo", "folder", "none"):
        with contextlib.suppress(RaxError):
            get_credentials(name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_nested_metadata_cannot_be_changed_either(folder):
    write(folder / f"{NAME}.json", record(metadata={"extra": {"a": [1, {"b": 2}]}}))
    extra = get_credentials(NAME)["metadata"]["extra"]
    assert extra["a"][1]["b"] == 2
    for change in (lambda: extra.update(a=1), lambda: extra["a"].append(1)):
        with pytest.raises(AttributeError):
            change()
    with pytest.raises(TypeError):
        extra["a"][1]["b"] = 3


# The cache


@pytest.mark.usefixtures("always_settled", "file")
def test_a_file_is_read_once(monkeypatch):
    first = get_credentials(NAME)
    monkeypatch.setattr(os, "open", None)
    assert get_credentials(NAME) is first


def test_a_change_right_after_a_read_is_seen(file, monkeypatch):
    """Within one tick of its clock, all times of a file are still those of what was read."""
    monkeypatch.setattr(_file_identity, "identity", lambda status: status[:7])
    write(file, record(**{"pass": "first"}))
    for value in ("first", "other"):
        with file.open("r+") as opened:
            opened.write(json.dumps(record(**{"pass": value})))
        assert get_credentials(NAME)["pass"] == value


def test_a_file_that_looks_old_is_not_cached_right_after_its_change(file, monkeypatch):
    monkeypatch.setattr(_file_identity, "_SETTLED_NS", 10**18)
    os.utime(file, (0, 0))
    assert get_credentials(NAME) is not get_credentials(NAME)


@pytest.mark.usefixtures("always_settled")
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda file: file.chmod(0o644), "has the mode 0644"),
        (lambda file: file.chmod(0o602), "has the mode 0602"),
        (lambda file: (file.rename(f"{file}.1"), file.symlink_to(f"{file}.1")), "not a regular"),
        (lambda file: (file.unlink(), file.mkdir()), "not a regular file"),
    ],
)
def test_a_cached_file_is_checked_again_when_it_is_spoiled(file, spoil, problem):
    assert get_credentials(NAME)["pass"] == SECRET
    spoil(file)
    with pytest.raises(InsecureCredentialError, match=problem):
        get_credentials(NAME)


@pytest.mark.usefixtures("always_settled", "file")
def test_another_account_is_not_served_from_the_cache(monkeypatch):
    get_credentials(NAME)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if os.getuid() == 0:
        # Root's file, of mode 0600, which only the check of the mode lets pass here.
        monkeypatch.setattr(os, "open", refusing(PermissionError(13, "Permission denied")))
        with pytest.raises(UnreadableCredentialError):
            get_credentials(NAME)
    else:
        with pytest.raises(InsecureCredentialError, match="belongs to the user id"):
            get_credentials(NAME)


def refusing(error):
    def refuse(*_args, **_kwargs):
        raise error

    return refuse


@pytest.mark.usefixtures("always_settled")
def test_a_revoked_credential_is_gone_at_once(folder, file):
    get_credentials(NAME)
    file.unlink()
    with pytest.raises(CredentialNotFoundError, match="it is empty"):
        get_credentials(NAME)
    folder.rmdir()
    # With its name, which `rax run` shows how to make.
    said = rf"^no credential '{NAME}' in .*: there is no such folder \(has refresh_credentials\.yml"
    with pytest.raises(CredentialNotFoundError, match=said):
        get_credentials(NAME)


@pytest.mark.usefixtures("always_settled")
def test_a_flip_of_the_directory_is_seen(generations):
    for number in range(5):
        assert get_credentials(NAME)["user"] == str(number)
        generations()


@pytest.mark.usefixtures("always_settled", "file")
def test_directories_are_told_apart(tmp_path, monkeypatch):
    get_credentials(NAME)
    other = tmp_path / "other"
    other.mkdir()
    write(other / f"{NAME}.json", record(user="other"))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(other))
    assert get_credentials(NAME)["user"] == "other"
    # A relative one is that of the folder which the process is in.
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", "credentials")
    for user in ("first", "second"):
        here = tmp_path / user / "credentials"
        here.mkdir(parents=True)
        write(here / f"{NAME}.json", record(user=user))
        monkeypatch.chdir(here.parent)
        assert get_credentials(NAME)["user"] == user


# Forks


def in_a_fork(call):
    """Return what the call returns in a fork of this process, or the text of its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = call()
        except BaseException as error:
            result = repr(error)
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = json.loads(pipe.read())
    os.waitpid(child, 0)
    return result


@pytest.mark.usefixtures("always_settled")
def test_a_fork_sees_a_rotation_that_its_parent_has_not(file):
    get_credentials(NAME)
    write(file, record(**{"pass": "new"}))
    assert in_a_fork(lambda: get_credentials(NAME)["pass"]) == "new"
    assert get_credentials(NAME)["pass"] == "new"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("settled", [True, False])
def test_a_fork_while_threads_read(file, monkeypatch, settled):
    """Whatever the threads hold at that moment, the child does not wait for it."""
    if settled:
        monkeypatch.setattr(_file_identity, "_SETTLED_NS", -(10**18))
    over = threading.Event()

    def read():
        while not over.is_set():
            get_credentials(NAME)
            list_credentials()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        found = [in_a_fork(lambda: get_credentials(NAME)["pass"]) for _ in range(20)]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert found == [SECRET] * 20
    assert file.exists()


# Anything

ANY_FOLDER = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALAR = TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()


@ANY_FOLDER
@given(
    fields=st.fixed_dictionaries(
        {
            **dict.fromkeys(["user", "pass", "host", "url", "description"], TEXT),
            "metadata": st.dictionaries(TEXT, SCALAR),
        }
    ),
    ascii_only=st.booleans(),
)
def test_any_credential_arrives_unchanged(folder, fields, ascii_only):
    content = json.dumps(fields, ensure_ascii=ascii_only).encode()
    write(folder / f"{NAME}.json", content)
    credential = get_credentials(NAME)
    assert dict(credential) == fields
    assert dict(pickle.loads(pickle.dumps(credential))) == fields  # noqa: S301 - its own pickle
    user, host = fields["user"], fields["host"]
    assert f"{credential}" == f"Credential({NAME!r}, user={user!r}, host={host!r}, pass='***')"


@ANY_FOLDER
@given(content=st.binary() | TEXT.map(str.encode) | st.recursive(
    SCALAR | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_other_content_is_malformed(folder, content):
    write(folder / f"{NAME}.json", content)
    with pytest.raises(MalformedCredentialError, match=re.escape(f"{NAME}.json: ")) as caught:
        get_credentials(NAME)
    assert caught.value.__context__ is None


@ANY_FOLDER
@given(name=st.text() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True))
def test_any_name_is_read_or_refused(folder, name):
    outside = {*folder.parent.iterdir()}
    with contextlib.suppress(OSError, ValueError):
        write(folder / f"{name}.json", record(user=name))
    try:
        assert get_credentials(name)["user"] == name
        assert name in list_credentials()
    except CredentialNotFoundError as error:
        shown = printable(repr(name))
        assert shown in str(error) or "File name too long" in str(error)  # noqa: PT017 - either way
    for path in [*folder.iterdir()]:
        path.unlink()
    for path in {*folder.parent.iterdir()} - outside:
        path.unlink()
