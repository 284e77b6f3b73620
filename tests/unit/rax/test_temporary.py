"""Temporary folders: each ends with its process, a killed one's by the next, and no other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rax
from rax._temporary import hold, remove, temporary_folder

USER = os.geteuid()
SOURCE = str(Path(rax.__file__).parents[1])
KILLED = """
import os, signal
from rax._temporary import temporary_folder
with temporary_folder("flow") as folder:
    (folder / "0").mkdir()
    (folder / "0/secret").write_text("x")
    (folder / "0/out").symlink_to(os.environ["OUTSIDE"])
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def names(temporary):
    return sorted(entry.name for entry in temporary.iterdir())


def test_it_ends_with_its_block(temporary):
    with temporary_folder("check") as folder:
        assert names(temporary) == [folder.name]
        assert folder.name.startswith(f"rax-check-{USER}-")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert names(temporary) == []


def test_the_next_one_removes_what_a_killed_process_left(temporary, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    program = subprocess.run(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary), "OUTSIDE": str(outside), "PYTHONPATH": SOURCE},
        check=False,
    )
    assert program.returncode == -signal.SIGKILL
    (left,) = names(temporary)
    assert program.stdout.decode().strip() == str(temporary / left)
    with temporary_folder("run") as folder:
        assert names(temporary) == [folder.name]
    assert (outside / "kept").exists()


def test_what_somebody_holds_stays(temporary):
    with temporary_folder("flow") as first, temporary_folder("flow") as second:
        assert names(temporary) == sorted([first.name, second.name])
    left = temporary / f"rax-flow-{USER}-abcdefgh"
    left.mkdir()
    lock = hold(left)
    with temporary_folder("flow"):
        assert left.is_dir()
    os.close(lock)
    with temporary_folder("flow"):
        assert not left.exists()


@pytest.mark.parametrize(
    "name",
    [
        f"rax-flow-{USER + 1}-abcdefgh",
        f"rax-flow-{USER}-abcdefg",
        f"rax-flow-{USER}-abcdefgh.bak",
        f"rax-{USER}-abcdefgh",
        "rax-flow-abcdefgh",
        f"my-rax-flow-{USER}-abcdefgh",
    ],
)
def test_other_names_stay(temporary, name):
    (temporary / name).mkdir()
    with temporary_folder("flow"):
        assert (temporary / name).is_dir()


@pytest.mark.skipif(USER != 0, reason="root alone gives a folder to another account")
def test_a_folder_of_another_account_stays(temporary):
    theirs = temporary / f"rax-flow-{USER}-abcdefgh"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with temporary_folder("flow"):
        assert theirs.is_dir()


def test_a_link_or_a_file_of_such_a_name_stays(temporary, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/kept").touch()
    (temporary / f"rax-flow-{USER}-aaaaaaaa").symlink_to(tmp_path / "home")
    (temporary / f"rax-flow-{USER}-bbbbbbbb").touch()
    os.mkfifo(temporary / f"rax-flow-{USER}-cccccccc")
    with temporary_folder("flow"):
        assert len(names(temporary)) == 4
    assert (tmp_path / "home/kept").exists()


def test_a_fork_that_ends_leaves_it():
    with temporary_folder("tests") as folder:
        child = os.fork()
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            assert folder.is_dir()
    if not child:
        os._exit(7)


def test_what_nobody_may_enter_is_removed(temporary):
    """It is for an account that is not root, whom no mode stops."""
    (temporary / "a/b/c").mkdir(parents=True)
    (temporary / "a/b").chmod(0)
    (temporary / "a").chmod(0)
    child = os.fork()
    if not child:
        # Entered now, since pytest's own folders are root's alone.
        os.chdir(temporary)
        if USER == 0:
            for folder in (".", "a", "a/b", "a/b/c"):
                os.chown(folder, 65534, 65534)
            os.setuid(65534)
        remove(Path("a"))
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert names(temporary) == []
