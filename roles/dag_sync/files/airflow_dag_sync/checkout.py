# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release on the disk: written whole, and made again what its commit is.

What a release has to be is what a fresh checkout gives, byte for byte. Git's own comparison would
look at the attributes in the release, which may have been edited to hide other edits.
"""

from __future__ import annotations

import os
import stat
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from airflow_dag_sync.files import fsync_directory, remove, temporary
from airflow_dag_sync.git import Git
from airflow_dag_sync.text import summarize

COMPARED_BYTES = 1 << 16  # at a time


def check_out(git: Git, tree: str, release: Path) -> str | None:
    """Write a whole tree aside, bring it to the disk, and give it its name; return its mark."""
    write(git, tree, aside := temporary(release.parent))
    # A new name changes nothing that the mark is of.
    look = BackgroundFingerprint(aside)
    git.run("sync", "--file-system", str(aside), name="sync")
    mark = look.result()
    aside.replace(release)
    fsync_directory(release.parent)
    return mark


def write(git: Git, tree: str, folder: Path) -> None:
    """Write a whole tree into a new folder."""
    folder.mkdir()
    index = temporary(folder.parent)
    git("read-tree", "-m", "-u", tree, GIT_WORK_TREE=folder, GIT_INDEX_FILE=index)


def repair(git: Git, tree: str, release: Path) -> str:
    """Make a release again what its tree is, path by path, and say what was not.

    What a power failure would lose of that, the next run would find and repair again.
    """
    write(git, tree, fresh := temporary(release.parent))
    repairs = Repairs(release, fresh)
    repairs.folder("")
    remove(fresh)
    return repairs.summary()


@dataclass
class Repairs:
    """Compares a release with a fresh checkout, and takes from there what differs."""

    release: Path
    fresh: Path
    edited: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)

    def folder(self, path: str) -> None:
        """Repair a folder that both have, and what is in it."""
        here, wanted = self.release / path, self.fresh / path
        # First, since the content may be unreadable until then.
        self._mode(path)
        names = {entry.name for entry in wanted.iterdir()}
        for name in sorted(os.listdir(here)):  # noqa: PTH208 - names are enough
            if name not in names:
                self.added.append(f"{path}/{name}".lstrip("/"))
                remove(here / name)
        for name in sorted(names):
            inner = f"{path}/{name}".lstrip("/")
            if is_folder(wanted / name):
                self._subfolder(inner)
            else:
                self._file(inner)

    def _subfolder(self, path: str) -> None:
        here = self.release / path
        if not is_folder(here):
            if os.path.lexists(here):
                self.added.append(path)
                remove(here)
            self.missing += paths_below(self.fresh, path)
            (self.fresh / path).replace(here)
            return
        self.folder(path)

    def _file(self, path: str) -> None:
        """Let a file or link appear whole, where the one here is another."""
        here, wanted = self.release / path, self.fresh / path
        if not os.path.lexists(here):
            self.missing.append(path)
        elif not is_same(here, wanted):
            self.edited.append(path)
            if is_folder(here):
                remove(here)
        else:
            self._mode(path)
            return
        wanted.replace(here)

    def _mode(self, path: str) -> None:
        """Give back the mode that the checkout gave."""
        mode = (self.fresh / path).lstat().st_mode
        if not stat.S_ISLNK(mode) and (self.release / path).lstat().st_mode != mode:
            (self.release / path).chmod(stat.S_IMODE(mode))
            self.modes.append(path or ".")

    def summary(self) -> str:
        """Say what was not as it should be."""
        found = {
            "edited": self.edited,
            "added": self.added,
            "missing": self.missing,
            "mode of": self.modes,
        }
        return ", ".join(f"{what} {summarize(paths)}" for what, paths in found.items() if paths)


def is_folder(path: Path) -> bool:
    """Whether this is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def paths_below(root: Path, folder: str) -> list[str]:
    """List the files and links in a folder, or the folder itself if it has none."""
    found = [
        os.path.relpath(f"{where}/{name}", root)
        for where, folders, files in os.walk(root / folder)
        for name in [*files, *(name for name in folders if Path(where, name).is_symlink())]
    ]
    return sorted(found) or [folder]


def is_same(here: Path, wanted: Path) -> bool:
    """Whether a file or link has the kind, the content and, for its owner, the use of another."""
    mine, theirs = here.lstat(), wanted.lstat()
    if stat.S_IFMT(mine.st_mode) != stat.S_IFMT(theirs.st_mode):
        return False
    if stat.S_ISLNK(mine.st_mode):
        return os.readlink(here) == os.readlink(wanted)  # noqa: PTH115 - names are bytes
    if mine.st_size != theirs.st_size or (mine.st_mode ^ theirs.st_mode) & stat.S_IXUSR:
        return False
    if not mine.st_mode & stat.S_IRUSR:
        here.chmod(stat.S_IMODE(mine.st_mode) | stat.S_IRUSR)
    with here.open("rb") as one, wanted.open("rb") as other:
        while block := one.read(COMPARED_BYTES):
            if block != other.read(COMPARED_BYTES):
                return False
    return True


class BackgroundFingerprint:
    """The fingerprint of a release, taken while this program waits for something else."""

    def __init__(self, release: Path) -> None:
        self.release = release
        self.value: str | None = None
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self) -> None:
        self.value = fingerprint(self.release)

    def result(self) -> str | None:
        """Wait for the fingerprint and return it."""
        self.thread.join()
        return self.value


def fingerprint(release: Path) -> str | None:
    """Return a mark that differs once anything in a release has been changed; None: unreadable.

    It takes no content: a file cannot be changed without a new ctime, which nobody can set.
    """
    count, folders = 0, [str(release)]
    try:
        # Of the release itself not the times: whoever uses it sets one.
        itself = release.stat()
        mark = zlib.crc32(repr((itself.st_mode, itself.st_uid, itself.st_gid)).encode())
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    found = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    facts = (
                        entry.name,
                        found.st_mode,
                        found.st_size,
                        found.st_ino,
                        found.st_ctime_ns,
                    )
                    mark = zlib.crc32(repr(facts).encode(errors="surrogateescape"), mark)
                    count += 1
    except OSError:
        return None
    return f"{count} {mark:08x}"
