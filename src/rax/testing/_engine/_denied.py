# SPDX-License-Identifier: Apache-2.0
"""What tasks try to reach outside of the case: it is noted, and refused where no namespace does.

Python says of each connection beforehand (``sys.addaudithook``). libpq and other programs do not:
the namespace holds them, too.
"""

import errno
import ipaddress
import itertools
import socket
import sys
from collections.abc import Mapping
from typing import Any

from rax import _libpq
from rax.testing._engine._events import Denied, Writer
from rax.testing._engine._tasks import Tasks

# A task in a loop asks for the same thing without end.
_MAX_DENIED = 50
# Which of the arguments of an event of Python's audit is the address.
_ADDRESSES = {"socket.connect": 1, "socket.sendto": 1}
_POSTGRESQL = 5432
_REASON = "a case of rax flow reaches only what it is given"
_NAMES = ("socket.getaddrinfo", "socket.gethostbyname")


class Denials:
    """What was tried.

    :param refuse: whether nothing else refuses it
    """

    def __init__(self, writer: Writer, *, refuse: bool) -> None:
        self._writer = writer
        self._refuse = refuse
        self._found: set[str] = set()
        self._is_busy = False
        self.tasks: Tasks | None = None
        """Those of the run that is made now."""

    def watch(self) -> None:
        """Watch this process from now on, to its end."""
        sys.addaudithook(self._see)
        _libpq.guard(self._sees_libpq, _REASON)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if (event not in _ADDRESSES and event not in _NAMES) or self._is_busy:
            return
        self._is_busy = True
        try:
            what = _outside(event, arguments)
            if what:
                self._note(what)
        finally:
            self._is_busy = False
        if what and self._refuse:
            raise PermissionError(errno.EPERM, _REASON)

    def _sees_libpq(self, options: Mapping[str, Any]) -> bool:
        # Of several, the first one that is elsewhere.
        hosts = str(options.get("hostaddr") or options.get("host") or "").split(",")
        ports = str(options.get("port") or _POSTGRESQL).split(",")
        for host, port in zip(hosts, itertools.cycle(ports), strict=False):
            if host and not host.startswith(("/", "@")) and not _is_here(host):
                self._note(f"{host} port {port}")
                return self._refuse
        return False

    def _note(self, what: str) -> None:
        who = (self.tasks.running if self.tasks else "") or self._writer.phase
        text = f"{who}: {what}"
        if text not in self._found and len(self._found) < _MAX_DENIED:
            self._found.add(text)
            self._writer.write(Denied(text))


def _outside(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the address outside of this machine that an event is about, if it is one."""
    if event in _NAMES:
        host, port = arguments[0], arguments[1] if len(arguments) > 1 else None
    else:
        address = arguments[_ADDRESSES[event]]
        # The others are paths of this machine's own sockets.
        if not isinstance(address, tuple) or len(address) < 2:
            return ""
        host, port = address[0], address[1]
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if not isinstance(host, str) or _is_here(host):
        return ""
    return f"{host} port {port}" if port else host


def _is_here(host: str) -> bool:
    if host in ("", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # What listens nowhere else is meant by the latter.
    return address.is_loopback or address.is_unspecified
