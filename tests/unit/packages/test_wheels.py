# SPDX-License-Identifier: GPL-3.0-or-later
"""What is brought into a folder for nodes without an index; pip's part is a stand-in."""

import io
import tarfile
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
    """Notes what is asked for; `brings` is written into the folder."""

    def __init__(self, brings=()):
        self.brings = dict(brings)
        self.calls = []

    def __call__(self, arguments):
        options = dict(one.removeprefix("--").partition("=")[::2] for one in arguments)
        lock = Path(options["requirement"]).read_text() if "requirement" in options else None
        self.calls.append((options, lock, [one for one in arguments if one[0] != "-"]))
        for name, content in self.brings.items():
            Path(options["dest"], name).write_bytes(content)


def test_what_a_node_installs_is_brought_with_its_hashes(tmp_path):
    pip = Pip()
    found = fill(tmp_path / "wheels", "3.13", "aarch64", {"a": LOCK, "b": ""}, pip)
    assert found == tmp_path / "wheels/py313"
    (options, lock, _), _ = pip.calls
    assert {"no-deps", "require-hashes"} < {*options}
    assert (options["python-version"], options["dest"]) == ("3.13", str(found))
    assert lock == f"new==2.0 {HASH}\nall==3.0 {HASH} {HASH}\n"
    assert options["platform"] == "linux_aarch64"


def source(**files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"old-1.0/{name.replace('_', '.')}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "needs"),
    [
        (source(setup_py=""), ["setuptools", "wheel"]),
        (source(pyproject_toml="[project]"), ["setuptools", "wheel"]),
        (source(pyproject_toml="[build-system]\nrequires = ['flit_core>=3']"), ["flit_core>=3"]),
    ],
)
def test_what_is_no_wheel_comes_with_what_builds_it(tmp_path, content, needs):
    pip = Pip({"old-1.0.tar.gz": content})
    fill(tmp_path, "3.11", "x86_64", {"a": LOCK}, pip)
    options, lock, names = pip.calls[-1]
    assert (names, lock) == (needs, None)
    assert options["only-binary"] == ":all:"
    assert "no-deps" not in options


def test_a_machine_that_is_none_is_refused(tmp_path):
    with pytest.raises(LockError, match="--machine arm: it is one of x86_64, aarch64"):
        fill(tmp_path / "wheels", "3.11", "arm", {}, Pip())
    assert not (tmp_path / "wheels").exists()


def test_the_locks_of_a_node_and_of_the_control_node_are_there():
    root = Path(__file__).parents[3]
    assert all((root / lock).is_file() for locks in NODE_LOCKS.values() for lock in locks)
