# SPDX-License-Identifier: GPL-3.0-or-later
"""What is brought into a folder for nodes without an index; pip's part is a stand-in."""

from pathlib import Path

import pytest

from scripts.lib.locks.content import pins_of
from scripts.lib.locks.requirements import LockError
from scripts.lib.locks.wheels import NODE_LOCKS, fill, without_markers

HASH = f"--hash=sha256:{'0' * 64}"
LOCK = f"""\
old==1.0 ; python_full_version < '3.12' \\
    {HASH}
new==2.0 ; python_full_version >= '3.12' \\
    {HASH}
windows==1.0 ; sys_platform == 'win32' \\
    {HASH}
all==3.0 \\
    {HASH} \\
    {HASH}
"""


def test_a_lock_is_that_of_the_nodes_python_not_of_the_one_that_runs():
    pins = pins_of(LOCK)
    assert without_markers(pins, "3.11", "x86_64") == (f"old==1.0 {HASH}\nall==3.0 {HASH} {HASH}\n")
    assert without_markers(pins, "3.13", "x86_64") == (f"new==2.0 {HASH}\nall==3.0 {HASH} {HASH}\n")


class Pip:
    """Notes what is asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, arguments):
        options = dict(one.removeprefix("--").partition("=")[::2] for one in arguments)
        self.calls.append((options, Path(options["requirement"]).read_text()))


def test_what_a_node_installs_is_brought_with_its_hashes(tmp_path):
    pip = Pip()
    found = fill(tmp_path / "wheels", "3.13", "aarch64", {"a": LOCK, "b": ""}, pip)
    assert found == tmp_path / "wheels/py313"
    (options, lock), _ = pip.calls
    assert {"no-deps", "require-hashes"} < {*options}
    assert (options["python-version"], options["dest"]) == ("3.13", str(found))
    assert lock == f"new==2.0 {HASH}\nall==3.0 {HASH} {HASH}\n"
    assert options["platform"] == "linux_aarch64"


def test_a_machine_that_is_none_is_refused(tmp_path):
    with pytest.raises(LockError, match="--machine arm: it is one of x86_64, aarch64"):
        fill(tmp_path / "wheels", "3.11", "arm", {}, Pip())
    assert not (tmp_path / "wheels").exists()


def test_the_locks_of_a_node_and_of_the_control_node_are_there():
    root = Path(__file__).parents[3]
    assert all((root / lock).is_file() for locks in NODE_LOCKS.values() for lock in locks)
