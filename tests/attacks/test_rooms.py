# SPDX-License-Identifier: GPL-3.0-or-later
"""Root acts where an account has put something else in the place of a file or directory.

On nodes, molecule/default/tests/test_rooms.py does the same to the whole of site.yml.
"""

import argparse
import contextlib
import os
import pwd
import re
import signal
import stat
import sys

import pytest
from ansible_collections.caspian.airflow.plugins.module_utils.account_directories import ensure
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import (
    Attributes,
    LockedFileError,
)

from rax import cli
from rax.cli._commands import complete
from rax.cli._node import _ask, _commands, _part
from rax.config import list_configs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is about root")

OWNER = pwd.getpwnam("nobody")
OTHER = pwd.getpwnam("daemon")
WANTED = Attributes(OWNER.pw_uid, OWNER.pw_gid, 0o700)
ROOTS = Attributes(0, 0, 0o755)


@pytest.fixture
def home(place):
    """Return the directory of the account."""
    return make(place / "home", OWNER)


@pytest.fixture
def victim(place):
    """Return a directory of root's, with a file in it."""
    path = make(place / "victim")
    (path / "rax").write_text("root's program\n")
    return path


def make(path, account=None):
    path.mkdir(mode=0o755)
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def own(path, account=OWNER):
    os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def state(root):
    """Describe all that is there: whose it is, its mode, and what files hold."""
    return {
        str(path): (
            status.st_uid,
            status.st_gid,
            stat.S_IMODE(status.st_mode),
            path.read_bytes() if stat.S_ISREG(status.st_mode) else None,
        )
        for path in (root, *sorted(root.rglob("*")))
        for status in [path.lstat()]
    }


def link(home, victim):
    (home / "alerts").symlink_to(victim)
    own(home / "alerts")
    return home / "alerts"


def link_of_root(home, victim):
    """Made by root long ago, and moved here by the account."""
    (home / "alerts").symlink_to(victim)
    return home / "alerts"


def link_on_the_way(home, victim):
    make(victim / "alerts")
    (home / "state").symlink_to(victim)
    own(home / "state")
    return home / "state/alerts"


def link_to_what_is_not_there(home, victim):
    (home / "alerts").symlink_to(victim / "new")
    own(home / "alerts")
    return home / "alerts"


def way_to_what_is_not_there(home, victim):
    (home / "state").symlink_to(victim)
    own(home / "state")
    return home / "state/new/alerts"


def link_to_another_account(home, victim):
    theirs = make(victim / "theirs", OTHER)
    (home / "alerts").symlink_to(theirs)
    return home / "alerts"


def directory_of_root_that_was_moved(home, victim):
    victim.rename(home / "alerts")
    return home / "alerts"


def empty_directory_of_root_that_was_moved(home, victim):
    make(victim / "empty").rename(home / "alerts")
    return home / "alerts"


def way_through_a_directory_of_root(home, victim):
    victim.rename(home / "state")
    return home / "state/alerts"


def hard_link(home, victim):
    os.link(victim / "rax", home / "alerts")
    return home / "alerts"


def hard_link_on_the_way(home, victim):
    os.link(victim / "rax", home / "state")
    return home / "state/alerts"


def pipe(home, _victim):
    os.mkfifo(home / "alerts")
    return home / "alerts"


@pytest.mark.parametrize(
    "swap",
    [
        link,
        link_of_root,
        link_on_the_way,
        link_to_what_is_not_there,
        way_to_what_is_not_there,
        link_to_another_account,
        directory_of_root_that_was_moved,
        empty_directory_of_root_that_was_moved,
        way_through_a_directory_of_root,
        hard_link,
        hard_link_on_the_way,
        pipe,
    ],
)
@pytest.mark.parametrize("wanted", [WANTED, ROOTS], ids=["of the account", "of root"])
def test_what_is_swapped_in_the_rooms_of_an_account(swap, wanted, place, home, victim):
    path = swap(home, victim)
    before = state(place)
    with pytest.raises((LockedFileError, OSError)):
        ensure(str(path), wanted)
    assert state(place) == before


def test_the_error_says_what_is_in_the_way(home, victim):
    path = link(home, victim)
    with pytest.raises(LockedFileError) as caught:
        ensure(str(path), WANTED)
    assert str(caught.value) == (
        f"{path} is a link to '{victim}' that nobody may have made: look where it comes from and"
        " remove it"
    )


@pytest.mark.parametrize("account", [None, OTHER], ids=["root", "another account"])
def test_a_shared_folder_is_not_handed_over(account, place, victim):
    """The metrics directory of the sync was pointed at node_exporter's."""
    if account:
        own(victim, account)
    before = state(place)
    with pytest.raises(LockedFileError) as caught:
        ensure(str(victim), WANTED)
    assert str(caught.value) == (
        f"it is there, belongs to {account.pw_name if account else 'root'} and is not taken away:"
        " name another directory, or give this one to nobody yourself"
    )
    assert state(place) == before


def test_root_has_nothing_in_the_rooms_of_an_account(home):
    """A package cache there would be read by root, and written by the account."""
    with pytest.raises(LockedFileError) as caught:
        ensure(str(home / "cache"), ROOTS)
    assert str(caught.value) == (
        "it is in a directory of nobody, who could swap it, and is to belong to root: name one"
        " whose parent directories are all root's"
    )
    assert [*home.iterdir()] == []


def test_a_link_in_a_directory_that_others_write_to(place, victim):
    """Another account may have moved a link of root's there."""
    open_to_all = make(place / "open")
    open_to_all.chmod(0o1777)
    (open_to_all / "state").symlink_to(victim)
    before = state(place)
    with pytest.raises(LockedFileError, match=" is a link to "):
        ensure(str(open_to_all / "state/alerts"), WANTED)
    assert state(place) == before


def test_a_link_of_an_account_in_a_directory_of_root(place, victim):
    (place / "link").symlink_to(victim)
    own(place / "link")
    before = state(place)
    with pytest.raises(LockedFileError, match=" that nobody may have made"):
        ensure(str(place / "link/alerts"), WANTED)
    assert state(place) == before


def test_the_account_swaps_it_at_every_moment(home, victim):
    """There is a link, nothing and a directory, in turn, while root is at it."""
    before = state(victim)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(OWNER.pw_gid)
        os.setuid(OWNER.pw_uid)
        spare, away, alerts = (home / name for name in ("spare", "away", "alerts"))
        spare.symlink_to(victim)
        while True:
            for source, target in ((alerts, away), (spare, alerts), (away, spare)):
                with contextlib.suppress(OSError):
                    source.rename(target)
    made = 0
    try:
        for _ in range(2000):
            try:
                made += bool(ensure(str(home / "alerts"), WANTED))
            except (LockedFileError, OSError):
                continue
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert made, "root never made it, so nothing was tried"
    assert state(victim) == before
    assert {path.lstat().st_uid for path in home.iterdir()} == {OWNER.pw_uid}


def test_an_account_that_is_none(place):
    rooms = make(place / "rooms")
    os.chown(rooms, 54321, 54321)
    with pytest.raises(LockedFileError) as caught:
        ensure(str(rooms / "alerts"), Attributes(54321, 54321, 0o700))
    assert re.search(r"the user id 54321, which is no account", str(caught.value))


# The command rax, which root runs on a node


@pytest.fixture
def as_root(place, monkeypatch):
    """Return a function that runs rax as root does, and returns its exit code and what it says."""
    monkeypatch.setenv("RAX_ACCOUNT", OWNER.pw_name)
    monkeypatch.delenv("RAX_CONFIG_DIR", raising=False)

    def run(*arguments):
        said = place / "said"
        said.touch()
        child = os.fork()
        if child == 0:
            code = 99
            try:
                for stream in (1, 2):
                    os.dup2(os.open(said, os.O_WRONLY | os.O_APPEND), stream)
                sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
                code = cli.main(arguments)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.read_text()

    return run


@pytest.fixture
def secret(place, home, monkeypatch):
    """Return a folder that root alone reads, which the account has made that of its configs."""
    folder = make(place / "secret")
    (folder / "canary.yaml").write_text("canary: hunter-22\n")
    folder.chmod(0o700)
    (home / "configs").symlink_to(folder)
    monkeypatch.setenv("RAX_RELEASE_DIR", str(home))
    return folder


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("arguments", [("show", "canary"), ("list",)])
def test_root_reads_configs_as_the_account(arguments, as_root):
    code, said = as_root("config", *arguments)
    assert "hunter-22" not in said
    assert "canary\n" not in said
    assert code == (cli.FAILED if arguments[0] == "show" else 0)


@pytest.mark.usefixtures("secret")
def test_root_completes_names_as_the_account(as_root, monkeypatch):
    """The Tab key of root's shell."""
    action = argparse.ArgumentParser().add_argument("name")
    complete(action, list_configs)

    def answer(_parser):
        sys.stdout.write(f"{action.completer()}\n")
        return 0

    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setattr(cli, "_complete", answer)
    assert as_root() == (0, "[]\n")


def test_what_rax_runs_has_no_terminal(place):
    """Of the account, it could press keys for root's shell by TIOCSTI."""
    program = place / "program"
    program.write_text(
        f"#!{sys.executable}\nimport os\nprint(os.getsid(0) == {os.getsid(0)})\n"
        "try:\n    os.open('/dev/tty', os.O_RDWR)\nexcept OSError:\n    print('no terminal')\n"
    )
    program.chmod(0o755)
    question = _ask.Question(lambda: _part.Part(_commands.run(str(program)), [], []))
    assert _ask.ask({"program": question})["program"].found == "False\nno terminal\n"
