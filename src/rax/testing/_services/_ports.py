# SPDX-License-Identifier: Apache-2.0
"""Ports of this machine, or of the case's own network."""

import contextlib
import socket

ADDRESS = "127.0.0.1"


def bound(preferred: int = 0) -> socket.socket:
    """Return a socket that has a port of its own: the preferred one, or any if that is taken.

    It does not listen: whoever connects is refused, and nobody else gets the port.
    """
    with contextlib.suppress(OSError):
        return _bound(preferred)
    return _bound(0)


def port_of(listener: socket.socket) -> int:
    """Return the port that a socket has."""
    port: int = listener.getsockname()[1]
    return port


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port whose last connections are still ending can be had again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
    except BaseException:
        listener.close()
        raise
    return listener
