# SPDX-License-Identifier: Apache-2.0
"""Namespaces of Linux: a network of its own, and processes that end with their first one.

What is in another network namespace reaches nothing outside, whatever it is written in: libpq and
other programs ask no guard of Python.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys
from pathlib import Path

# unshare(2)
_NEW_MOUNTS, _NEW_IPC, _NEW_USERS = 0x20000, 0x8000000, 0x10000000
_NEW_PIDS, _NEW_NETWORK = 0x20000000, 0x40000000
# mount(2)
_NO_SUID, _NO_DEVICES, _NO_EXECUTION, _RECURSIVE, _PRIVATE = 2, 4, 8, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1  # prctl(2)
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1  # netdevice(7)


def end_with_parent() -> None:
    """Have the kernel end this process when the thread that has forked it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter() -> str:
    """Put this process into a new network, and its children into a new tree of processes.

    Return why the kernel refuses it, or nothing where it does not. Where it does, all is as before.
    """
    if sys.platform != "linux":
        return f"there are no network namespaces on {sys.platform}"
    # An ordinary user may do so as the root of new users, of whom it is the only one.
    users = _NEW_USERS if os.geteuid() else 0
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", users | _NEW_NETWORK | _NEW_PIDS | _NEW_MOUNTS | _NEW_IPC)
        if users:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        _start_loopback()
    except OSError as error:
        return f"the kernel refuses network namespaces: {error.strerror}"
    return ""


def show_own_processes() -> None:
    """In the first process of a new tree: have /proc show that tree.

    :raises OSError: the kernel refuses it
    """
    _call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)
    flags = _NO_SUID | _NO_DEVICES | _NO_EXECUTION
    _call("mount", b"proc", b"/proc", b"proc", flags, None)


def keep_in_memory(folder: Path, max_mib: float) -> bool:
    """In namespaces: hold what is written to a folder in memory; say whether the kernel allows it.

    It ends with the last process of the namespace, and nobody outside of it sees it.

    :param folder: an empty one, which is this account's alone afterwards
    :param max_mib: how much it may hold
    """
    options = f"mode=0700,size={max(1, int(max_mib * 1024))}k".encode()
    flags = _NO_SUID | _NO_DEVICES | _NO_EXECUTION
    with contextlib.suppress(OSError):
        _call("mount", b"tmpfs", bytes(folder), b"tmpfs", flags, options)
        return True
    return False


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(any_socket, _GET_FLAGS, request), 16)[0]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _IS_UP))


def _call(name: str, *arguments: object) -> None:
    """Call a function of libc that returns -1 and sets errno where it fails."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        code = ctypes.get_errno() or errno.EPERM
        raise OSError(code, os.strerror(code))
