# SPDX-License-Identifier: GPL-3.0-or-later
"""Root makes a directory of an account, who has put something else in its place.

On nodes, molecule/default/tests/test_rooms.py does the same to the whole of site.yml.
"""

import os
import pwd
import re
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.module_utils.account_directories import ensure
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import (
    Attributes,
    LockedFileError,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is about root")

OWNER = pwd.getpwnam("nobody")
OTHER = pwd.getpwnam("daemon")
WANTED = Attributes(OWNER.pw_uid, OWNER.pw_gid, 0o700)
ROOTS = Attributes(0, 0, 0o755)


@pytest.fixture
def place():
    """Return a directory of root's that every account can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="caspian-rooms-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


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


def pipe(home, victim):
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


def test_root_has_nothing_in_the_rooms_of_an_account(place, home):
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


def test_the_account_swaps_it_at_every_moment(place, home, victim):
    """It has a directory, nothing and a link there, in turn, while root is at it."""
    before = state(victim)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(OWNER.pw_gid)
        os.setuid(OWNER.pw_uid)
        os.chdir(home)
        os.symlink(victim, "link")
        while True:
            for name in ("alerts", "link"):
                try:
                    os.rename(name, "away")
                    os.rename("away", "alerts" if name == "link" else "directory")
                    os.rename("directory" if name == "link" else "alerts", name)
                except OSError:
                    pass
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
