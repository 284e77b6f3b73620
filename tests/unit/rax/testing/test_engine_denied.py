"""What a task reaches for outside of its case is known by what Python says of it."""

import socket

import pytest

from rax.testing._engine._denied import Denials
from rax.testing._engine._events import Denied


class Writer:
    """Takes events."""

    phase = "loading dags/a.py"

    def __init__(self):
        self.events = []

    def write(self, event):
        self.events.append(event)


class Tasks:
    """A run in which a task runs."""

    running = "load[1]"


@pytest.mark.parametrize(
    ("event", "arguments", "what"),
    [
        ("socket.connect", (None, ("192.0.2.1", 5432)), "192.0.2.1 port 5432"),
        ("socket.connect", (None, ("2001:db8::1", 443, 0, 0)), "2001:db8::1 port 443"),
        ("socket.sendto", (None, ("192.0.2.1", 53)), "192.0.2.1 port 53"),
        ("socket.getaddrinfo", ("db.example.com", 5432, 0, 0, 0), "db.example.com port 5432"),
        ("socket.getaddrinfo", (b"db.example.com", None, 0, 0, 0), "db.example.com"),
        ("socket.gethostbyname", ("db.example.com",), "db.example.com"),
        ("socket.connect", (None, ("127.0.0.1", 5432)), ""),
        ("socket.connect", (None, ("127.9.9.9", 5432)), ""),
        ("socket.connect", (None, ("::1", 5432, 0, 0)), ""),
        ("socket.connect", (None, ("0.0.0.0", 5432)), ""),  # noqa: S104 - nothing is bound
        ("socket.connect", (None, "/run/x.socket"), ""),
        ("socket.connect", (None, b"\0abstract"), ""),
        ("socket.getaddrinfo", ("localhost", 5432, 0, 0, 0), ""),
        ("socket.getaddrinfo", (None, 5432, 0, 0, 0), ""),
        ("socket.getaddrinfo", (socket.gethostname(), None, 0, 0, 0), ""),
        ("open", ("192.0.2.1", "r", 0), ""),
    ],
)
@pytest.mark.parametrize("refuse", [False, True])
def test_what_is_outside(event, arguments, what, refuse):
    denials = Denials(writer := Writer(), refuse=refuse)
    denials.tasks = Tasks()
    if refuse and what:
        with pytest.raises(PermissionError, match="reaches only what it is given"):
            denials._see(event, arguments)
    else:
        denials._see(event, arguments)
    assert writer.events == ([Denied(f"load[1]: {what}")] if what else [])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"host": "db.example.com"}, "db.example.com port 5432"),
        ({"host": "db", "hostaddr": "192.0.2.1", "port": 5433}, "192.0.2.1 port 5433"),
        ({"host": "localhost,db.example.com", "port": "1,2"}, "db.example.com port 2"),
        ({"host": "localhost,db.example.com", "port": "1"}, "db.example.com port 1"),
        ({"host": "127.0.0.1"}, ""),
        ({"host": "/run/postgresql"}, ""),
        ({}, ""),
    ],
)
def test_what_libpq_is_asked_for(options, what):
    denials = Denials(writer := Writer(), refuse=True)
    assert denials._sees_libpq(options) == bool(what)
    assert writer.events == ([Denied(f"loading dags/a.py: {what}")] if what else [])


def test_a_loop_is_told_once_and_many_addresses_are_cut():
    denials = Denials(writer := Writer(), refuse=False)
    for number in (1, 1, *range(2, 100)):
        denials._see("socket.connect", (None, (f"192.0.2.{number}", 80)))
    assert len(writer.events) == 50
    assert writer.events[1] == Denied("loading dags/a.py: 192.0.2.2 port 80")
