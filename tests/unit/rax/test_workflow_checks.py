"""Ready-made checks, against files, file systems and servers that are as they should not be."""

import json
import logging
import os
import re
import socket
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from rax.errors import (
    CheckError,
    CountsDifferError,
    CredentialNotFoundError,
    MalformedCredentialError,
    WorkflowError,
)
from rax.workflow import answers, compare_counts, fresh, room

SECRET = "s3cr3t-canary"


@pytest.fixture
def credential(tmp_path, monkeypatch):
    """Return a function that makes the credential EBI-01."""
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))

    def make(host="127.0.0.1", url="", **metadata):
        fields = {"user": "etl", "pass": SECRET, "description": ""}
        file = tmp_path / "EBI-01.json"
        file.touch(0o600)
        file.write_text(json.dumps({**fields, "host": host, "url": url, "metadata": metadata}))

    return make


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_source_that_answers(credential, listener, caplog):
    caplog.set_level(logging.INFO)
    credential(port=listener)
    answers("EBI-01")
    credential(host="", url=f"https://etl:{SECRET}@127.0.0.1:{listener}/path")
    answers("EBI-01")
    assert caplog.messages == [f"EBI-01 at 127.0.0.1:{listener} answers"] * 2


def test_a_source_that_refuses(credential):
    with socket.socket() as bound:  # Not listened on: nobody else gets the port.
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        credential(port=port)
        with pytest.raises(CheckError) as caught:
            answers("EBI-01")
    assert str(caught.value) == f"EBI-01 at 127.0.0.1:{port} does not answer: Connection refused"
    assert caught.value.__context__ is None


def test_a_source_that_hangs(credential, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: over.wait())
    credential(port=5432)
    try:
        with pytest.raises(CheckError, match=r"does not answer: nothing within 0.1 s$"):
            answers("EBI-01", limit=0.1)
    finally:
        over.set()


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {},
            MalformedCredentialError,
            "EBI-01 at 127.0.0.1: set port in its metadata in the vault",
        ),
        ({"host": ""}, MalformedCredentialError, "EBI-01 names no host: set it in the vault"),
        (
            {"port": "x"},
            MalformedCredentialError,
            "metadata.port of EBI-01 is not a number from 1 to 65535",
        ),
        (
            {"host": "", "url": "https://[::1:70000/"},
            MalformedCredentialError,
            "url of EBI-01 is none: set it in the vault",
        ),
        (
            {"host": "no-such-host.invalid", "port": 1},
            CheckError,
            re.compile("EBI-01 at no-such-host.invalid:1 does not answer: .+"),
        ),
        (
            {"host": "::1", "port": 1},
            CheckError,
            re.compile(r"EBI-01 at \[::1\]:1 does not answer: .+"),
        ),
    ],
)
def test_a_source_that_cannot_be_asked(credential, fields, error, message):
    credential(**fields)
    with pytest.raises(error) as caught:
        answers("EBI-01")
    said = str(caught.value)
    assert message.fullmatch(said) if isinstance(message, re.Pattern) else said == message
    assert SECRET not in said


def test_a_source_without_a_credential(credential):
    credential(port=1)
    with pytest.raises(CredentialNotFoundError, match="no credential 'EBI-02'"):
        answers("EBI-02")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "flights.csv"
    path.write_text("1,2\n")
    return path


def aged(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("max_age", [3600, 3600.5, timedelta(hours=1)])
def test_a_fresh_file(file, max_age):
    aged(file, 1800)
    fresh(file, max_age)
    fresh(str(file), max_age, min_size=4)


@pytest.mark.parametrize(
    ("age", "options", "problem"),
    [
        (189_000, {}, "was last changed 2 d 4 h ago, 1 h are allowed"),
        (-91_800, {}, "is dated 1 d 1 h in the future; is a clock wrong?"),
        (0, {"min_size": 5}, "has 4 bytes, at least 5 are expected"),
    ],
)
def test_a_file_that_is_not_fresh(file, age, options, problem):
    aged(file, age)
    with pytest.raises(CheckError) as caught:
        fresh(file, timedelta(hours=1), **options)
    assert str(caught.value) == f"{file}: {problem}"


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    for name, problem in {
        "": "is not a file",
        "pipe": "is not a file",
        "broken": "No such file or directory",
    }.items():
        with pytest.raises(CheckError) as caught:
            fresh(tmp_path / name, 60)
        assert str(caught.value) == f"{tmp_path / name}: {problem}"


@pytest.mark.parametrize("max_age", [-1, float("nan"), timedelta(seconds=-1)])
def test_an_age_that_is_none(file, max_age):
    with pytest.raises(WorkflowError, match="it has to be a time"):
        fresh(file, max_age)


@pytest.fixture
def disk(monkeypatch):
    """Have every file system 1000 KiB, of which 100 are free."""
    found = SimpleNamespace(f_bavail=100, f_blocks=1000, f_frsize=1024, f_files=10, f_favail=1)
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    return found


@pytest.mark.parametrize(
    "at_least", [0, 102400, "102400 B", "100 KiB", "100KiB", "0.09 MB", "102.4 KB", "10 %", "10%"]
)
def test_room(disk, at_least):
    room("/data", at_least)
    disk.f_files = disk.f_favail = 0
    room("/data", at_least)


@pytest.mark.parametrize(
    ("at_least", "wanted"),
    [
        (102401, "100.0 KiB"),
        ("101 KiB", "101.0 KiB"),
        ("5 GiB", "5.0 GiB"),
        ("10.1 %", "101.0 KiB"),
        ("100 %", "1000.0 KiB"),
    ],
)
@pytest.mark.usefixtures("disk")
def test_no_room(at_least, wanted):
    with pytest.raises(CheckError) as caught:
        room("/data", at_least)
    assert str(caught.value) == f"/data: has room for 100.0 KiB, {wanted} are needed"


def test_no_inodes(disk):
    disk.f_favail = 0
    with pytest.raises(CheckError, match=r"^/data: has room for no more files: all of its inodes"):
        room("/data", 0)


@pytest.mark.parametrize(
    "at_least", ["", "5", "5 gib", "-1 GiB", "101 %", "5 GiB free", -1, True, 0.5]
)
@pytest.mark.usefixtures("disk")
def test_what_is_no_amount(at_least):
    with pytest.raises(WorkflowError) as caught:
        room("/data", at_least)
    assert str(caught.value) == (
        f"{at_least!r} is no amount of room: give bytes, '5 GiB', '500 MB' or '10 %'"
    )


def test_room_where_nothing_is(tmp_path):
    with pytest.raises(CheckError, match=r"/none: No such file or directory$"):
        room(tmp_path / "none", "1 B")


class Whole:
    """As numpy's whole numbers are."""

    def __index__(self):
        return 3


@pytest.mark.parametrize(
    ("expected", "found", "sums"),
    [
        (0, 0, 0),
        (5, 5, 5),
        (Whole(), 3, 3),
        ({}, {}, 0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 3),
        ({"a": 1, "b": 0}, {"a": 1}, 1),
    ],
)
def test_equal_counts(expected, found, sums):
    assert compare_counts(expected, found) == {"expected": sums, "found": sums}


@pytest.mark.parametrize(
    ("expected", "found", "message"),
    [
        (5, 4, "1 of 1 counts differs: total: 5 expected, 4 found"),
        (
            {1: 2, 2: 3, 3: 4, 4: 5},
            {1: 1, 2: 6, 4: 5},
            "3 of 4 counts differ: 1: 2 expected, 1 found; 2: 3 expected, 6 found; "
            "3: 4 expected, 0 found",
        ),
        ({}, {"extra": 1}, "1 of 1 counts differs: extra: 0 expected, 1 found"),
    ],
)
def test_counts_that_differ(expected, found, message):
    with pytest.raises(CountsDifferError) as caught:
        compare_counts(expected, found)
    assert str(caught.value) == message


def test_the_table_of_counts(caplog):
    with pytest.raises(CountsDifferError):
        compare_counts({"January": 27004, "February": 24951}, {"January": 27004})
    (record,) = caplog.records
    assert (record.levelname, record.message.splitlines()) == (
        "ERROR",
        [
            "Counts:",
            "OF        EXPECTED  FOUND  DIFFERENCE",
            "January   27004     27004",
            "February  24951         0  -24951",
            "total     51955     27004  -24951",
        ],
    )


def test_many_counts_are_bounded(caplog):
    with pytest.raises(CountsDifferError) as caught:
        compare_counts(dict.fromkeys(range(10_000), 1), {})
    assert len(str(caught.value)) <= 500
    assert re.search(r"; and \d{4} more$", str(caught.value))
    lines = caplog.messages[0].splitlines()
    assert len(lines) < 210
    assert lines[-1].split() == ["total", "10000", "0", "-10000"]
    assert lines[-2].split() == ["…", "9800", "more", "9800", "0", "-9800"]


@pytest.mark.parametrize(
    ("expected", "found", "message"),
    [
        (1, {"a": 1}, "counts are compared with counts: two numbers, or two mappings"),
        (1.0, 1, "the count of total is a float, not a whole number"),
        ({"a": "1"}, {"a": 1}, "the count of a is a str, not a whole number"),
        ({"a": 1}, {"a": None}, "the count of a is a NoneType, not a whole number"),
        ([1], [1], "the count of total is a list, not a whole number"),
    ],
)
def test_what_is_no_count(expected, found, message):
    with pytest.raises(WorkflowError) as caught:
        compare_counts(expected, found)
    assert str(caught.value) == message
