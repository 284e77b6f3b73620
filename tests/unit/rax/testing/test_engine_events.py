"""Events are files, which a reader takes one after the other, whole, and of their form."""

import os
from pathlib import Path

import pytest

from rax.testing._engine import _events
from rax.testing._engine._codec import FormError
from rax.testing._engine._events import (
    Begun,
    Denied,
    Done,
    Ended,
    Found,
    Phase,
    Ran,
    Reader,
    Writer,
)
from rax.testing._model import RunKind, TaskKey
from rax.testing._outputs import RunOutput

KEY = TaskKey("load", 0)
EVENTS = [
    Phase("loading dags/a.py"),
    Found("/dags/a.py"),
    Begun(RunKind.ONCE, KEY),
    Denied("load[0]: 192.0.2.1 port 5432"),
    Ended(RunKind.ONCE, KEY),
    Ran(RunOutput(RunKind.ONCE, "success", ())),
    Done("it hung", ("psql -h x",)),
]


@pytest.fixture
def bell():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_all_events_are_read_in_their_order(tmp_path, bell):
    writer, reader = Writer(tmp_path, bell[1]), Reader(tmp_path)
    for event in EVENTS[:3]:
        writer.write(event)
    assert list(reader.read()) == EVENTS[:3]
    assert list(reader.read()) == []
    # Somebody closes all descriptors.
    os.close(bell[1])
    for event in EVENTS[3:]:
        writer.write(event)
    assert list(reader.read()) == EVENTS[3:]
    assert os.read(bell[0], 100) == b"\n" * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1.Phase", b"{", "Expecting"),
        ("1.Phase", b"{}", "text"),
        ("1.Other", b"{}", "'Other' is no event"),
        ("1.Phase", b'{"text": "' + b"x" * 1000 + b'"}', "more than 0 MiB"),
    ],
)
def test_what_is_no_event(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(_events, "MAX_EVENT_BYTES", 100)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormError, match=message):
        list(Reader(tmp_path).read())


def test_neither_links_nor_folders_nor_pipes_are_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b'{"text": "x"}')
    makers = (lambda path: path.symlink_to(tmp_path / "secret"), Path.mkdir, os.mkfifo)
    for number, make in enumerate(makers):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        make(folder / "1.Phase")
        with pytest.raises(FormError):
            list(Reader(folder).read())
