"""The namespaces of a case: what is written to a folder in memory ends with them."""

import subprocess
import sys
from pathlib import Path

import pytest

import rax

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from rax.testing._engine import _namespaces
folder = Path(sys.argv[2])
if reason := _namespaces.enter():
    sys.exit(reason)
if not os.fork():
    _namespaces.show_own_processes()
    refused = _namespaces.keep_in_memory(folder / "missing", 8)
    held = _namespaces.keep_in_memory(folder, 8)
    folder.joinpath("file").write_text("x")
    room = os.statvfs(folder)
    print(refused, held, room.f_blocks * room.f_frsize // 2**20)
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


def test_a_folder_in_memory_is_bounded_and_ends_with_the_namespaces(tmp_path):
    source = Path(rax.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, source, tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "namespaces" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.stdout, done.stderr) == ("False True 8\n", "")
    assert list(tmp_path.iterdir()) == []
    tmp_path.rmdir()
