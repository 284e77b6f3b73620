# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generations of a node's set of credentials, and the link to the published one.

Everything works relative to descriptors of directories that were reached without following a link.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import syslog
import time
from collections.abc import Callable, Iterator

from ansible_collections.caspian.airflow.plugins.module_utils import (
    credential_format,
    locked_files,
)
from ansible_collections.caspian.airflow.plugins.module_utils.credential_plan import (
    DesiredSet,
    Plan,
)

# What root owns, its group may read. What another account owns, it alone may.
FILE_MODES = {True: 0o440, False: 0o400}
DIRECTORY_MODES = {True: 0o750, False: 0o700}
# Of what only the module itself needs.
OWN_MODE = 0o400
LOCK = ".lock"
MAX_LOCK_SECONDS = 120
KEY = ".key"
KEY_BYTES = 32
# These two lie in a generation until its change is logged, and until the units are told of it. As
# they are published with it, a run that is killed in between leaves the task to the next.
PENDING_AUDIT = ".unlogged"
PENDING_NOTIFY = ".untold"

_SUFFIX = ".json"
_GENERATION = re.compile(r"[0-9a-f]{16}")
_NOT_OPEN = -1


def managed_name(file_name: str) -> str | None:
    """Return the name of the credential whose file this would be."""
    name = file_name.removesuffix(_SUFFIX)
    if name == file_name or credential_format.name_problem(name):
        return None
    return name


class Store:
    """The directory of generations beside the link to the published one.

    Raises MissingDirectoryError where the directory of the link is missing.
    """

    def __init__(self, path: str, owner: str, group: str | None) -> None:
        directory, self.link = locked_files.split_path(path)
        self.name = f".{self.link}"
        uid, gid = locked_files.accounts(owner, group)
        by_root = uid == 0
        self.file_attributes = locked_files.Attributes(uid, gid, FILE_MODES[by_root])
        self.directory_attributes = locked_files.Attributes(uid, gid, DIRECTORY_MODES[by_root])
        self.own_attributes = locked_files.Attributes(uid, gid, OWN_MODE)
        self.fd = _NOT_OPEN
        # In check mode it stays empty where there is no key yet: no fingerprint is written then.
        self.key = b""
        self.parent_fd = locked_files.open_directory(directory)
        found = locked_files.status(self.link, self.parent_fd)
        if found is not None and not stat.S_ISLNK(found.st_mode):
            raise locked_files.LockedFileError(
                "there is a file or directory that is not ours: move it away, then run again"
            )

    # The directory of generations

    def open(self) -> list[str]:
        """Open the directory of generations if there is one; say whether it is out of order."""
        found = locked_files.status(self.name, self.parent_fd)
        if found is None:
            return ["store"]
        if not stat.S_ISDIR(found.st_mode):
            raise locked_files.LockedFileError(
                f"{self.name!r} beside it is a link or a file where the directory of the"
                " generations belongs: look where it comes from and remove it"
            )
        self.fd = locked_files.open_inner_directory(self.name, self.parent_fd)
        wrong = locked_files.attribute_differences(self.fd, self.directory_attributes)
        # An account must not get a directory of root's for its own by giving it this name. A run
        # that is killed as it makes the directory leaves an empty one.
        if "owner" in wrong and self.directory_attributes.uid and locked_files.names(self.fd):
            raise locked_files.LockedFileError(
                f"{self.name!r} beside it belongs to another account: look where it comes from"
                " and remove it"
            )
        return ["store"] if wrong or not self._read_key() else []

    def prepare(self) -> None:
        """Put the directory of generations in order."""
        if self.fd == _NOT_OPEN:
            with contextlib.suppress(FileExistsError):  # Another first run was quicker.
                os.mkdir(self.name, 0o700, dir_fd=self.parent_fd)
            self.fd = locked_files.open_inner_directory(self.name, self.parent_fd)
        locked_files.set_attributes(self.fd, self.directory_attributes)
        os.fsync(self.parent_fd)

    def lock(self) -> None:
        """Wait until no other run writes; only the owner can hold the lock."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        # Never closed, since the lock is to end with the process, however that ends.
        try:
            descriptor = os.open(LOCK, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self.fd)
            # The account may run this itself the next time.
            os.fchown(descriptor, self.own_attributes.uid, self.own_attributes.gid)
        except FileExistsError:
            descriptor = os.open(LOCK, flags, dir_fd=self.fd)
        deadline = time.monotonic() + MAX_LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise locked_files.LockedFileError(
                        f"another run has been writing for {MAX_LOCK_SECONDS} seconds"
                    ) from None
                time.sleep(0.1)
            else:
                return

    def prepare_key(self) -> None:
        """Make a new key in the place of one that is missing, or that others may have read."""
        if not self._read_key():
            self.key = secrets.token_bytes(KEY_BYTES)
            locked_files.replace(KEY, self.key, self.own_attributes, self.fd)

    def _read_key(self) -> bool:
        """Read the key of the fingerprints; return whether it is one that nobody else had."""
        try:
            key = locked_files.read(KEY, self.fd, KEY_BYTES + 1)
        except OSError:
            return False
        wrong = locked_files.differences(KEY, key, self.own_attributes, self.fd)
        if wrong or len(key) != KEY_BYTES:
            return False
        self.key = key
        return True

    def leftovers(self) -> list[tuple[str, int]]:
        """List the temporary links and files that a killed run has left, each with its place."""
        places = [(self.link, self.parent_fd)]
        if self.fd != _NOT_OPEN:
            places.append((KEY, self.fd))
        return [
            (found, dir_fd)
            for name, dir_fd in places
            for found in locked_files.leftovers(name, dir_fd)
        ]

    # Generations

    def generations(self) -> list[str]:
        """List the generations on the disk, published or not."""
        if self.fd == _NOT_OPEN:
            return []
        with os.scandir(self.fd) as entries:
            return sorted(
                entry.name
                for entry in entries
                if _GENERATION.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )

    def current(self) -> str | None:
        """Return the generation that is published, None when the link is missing or not ours."""
        try:
            target = os.readlink(self.link, dir_fd=self.parent_fd)
        except FileNotFoundError:
            return None
        store, _slash, generation = target.partition("/")
        if store != self.name or generation not in self.generations():
            return None
        return generation

    @contextlib.contextmanager
    def opened(self, generation: str) -> Iterator[int]:
        """Have a generation open; its descriptor is the value."""
        descriptor = locked_files.open_inner_directory(generation, self.fd)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def published(self) -> Iterator[int | None]:
        """Have the published generation open; the value is None where there is none."""
        current = self.current()
        if current is None:
            yield None
            return
        with self.opened(current) as descriptor:
            yield descriptor

    # How the disk differs from what is asked for

    def plan(self, desired: DesiredSet, layout: list[str]) -> Plan:
        """Compare the set on the disk with the one that is asked for."""
        plan = Plan(desired, layout=layout)
        plan.contents = {
            name: credential_format.encode(credential)
            for name, credential in desired.credentials.items()
        }
        current = self.current()
        stale = [generation for generation in self.generations() if generation != current]
        if stale or self.leftovers():
            plan.put_in_order("leftovers")
        if current is None:
            plan.put_in_order("link")
            plan.added = list(plan.contents)
            return plan
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(self.opened(current))
            others = [stack.enter_context(self.opened(generation)) for generation in stale]
            self._compare(plan, directory, others)
        return plan

    def _compare(self, plan: Plan, directory: int, others: list[int]) -> None:
        if locked_files.attribute_differences(directory, self.directory_attributes):
            plan.put_in_order("directory")
        found = locked_files.names(directory)
        if PENDING_AUDIT in found:
            plan.put_in_order("leftovers")
        existing = {name for file_name in found if (name := managed_name(file_name)) is not None}
        for name in plan.desired.staying():
            if name in existing:
                self._keep(plan, name, directory)
        for name, content in plan.contents.items():
            if name not in existing:
                plan.added.append(name)
                continue
            file_name = name + _SUFFIX
            links = 1 + _count_links(file_name, directory, others)
            changes = locked_files.differences(
                file_name, content, self.file_attributes, directory, links
            )
            if changes:
                plan.note(name, changes)
            else:
                plan.unchanged.add(name)
        plan.removed = list(existing - plan.contents.keys())

    def _keep(self, plan: Plan, name: str, directory: int) -> None:
        """Let the last file of a name stay, if it is a good one."""
        with contextlib.suppress(OSError):
            content = locked_files.read(name + _SUFFIX, directory)
            if not credential_format.content_problem(credential_format.decode(content)):
                plan.contents[name] = content
                if name in plan.desired.problems:
                    plan.kept.append(name)

    # How what is asked for is published

    def publish(self, plan: Plan, log_lines: Callable[[str], list[str]], notify: bool) -> None:
        """Build a generation from new and unchanged files, and turn the link to it.

        `log_lines` returns what to log of a generation; `notify` is whether units are told of it.
        """
        current = self.current()
        generation = secrets.token_hex(8)
        temporary = f".{self.link}.{generation}.tmp"
        try:
            os.mkdir(generation, 0o700, dir_fd=self.fd)
            with self.opened(generation) as new:
                if os.fstat(new).st_uid != os.geteuid() or locked_files.names(new):
                    raise locked_files.LockedFileError(
                        f"somebody else writes in {self.name!r} beside it"
                    )
                if plan.unchanged:
                    self._link(plan, current, new)
                self._write(plan, new)
                pending = {PENDING_AUDIT: "\n".join(log_lines(generation)).encode("ascii")}
                if notify:
                    pending[PENDING_NOTIFY] = b""
                for name, content in pending.items():
                    locked_files.create(name, content, self.own_attributes, new)
                    locked_files.sync(name, new)
                locked_files.set_attributes(new, self.directory_attributes)
                os.fsync(new)
            os.fsync(self.fd)
            os.symlink(f"{self.name}/{generation}", temporary, dir_fd=self.parent_fd)
            os.rename(temporary, self.link, src_dir_fd=self.parent_fd, dst_dir_fd=self.parent_fd)
        except BaseException:
            with contextlib.suppress(OSError):
                self.clean()
            raise

    def _link(self, plan: Plan, current: str | None, new: int) -> None:
        """Take the unchanged files over, and look at them again where nobody can swap them."""
        if current is None:
            raise locked_files.LockedFileError("somebody else has turned the link meanwhile")
        with self.opened(current) as last:
            for name in sorted(plan.unchanged):
                file = name + _SUFFIX
                os.link(file, file, src_dir_fd=last, dst_dir_fd=new, follow_symlinks=False)
                if locked_files.differences(
                    file, plan.contents[name], self.file_attributes, new, links=None
                ):
                    os.unlink(file, dir_fd=new)
                    plan.unchanged.remove(name)
                    plan.repaired.append(name)

    def _write(self, plan: Plan, new: int) -> None:
        written = [name for name in plan.contents if name not in plan.unchanged]
        for name in written:
            locked_files.create(name + _SUFFIX, plan.contents[name], self.file_attributes, new)
        # All are written before the first is waited for, so that the disk takes them in few steps.
        locked_files.sync_all([name + _SUFFIX for name in written], new)

    def sync(self) -> None:
        """Bring the turn of the link to the disk."""
        os.fsync(self.parent_fd)

    def clean(self) -> None:
        """Remove all generations but the published one, and temporary links and files."""
        current = self.current()
        for generation in self.generations():
            if generation != current:
                self._retire(generation, current)
        for name, dir_fd in self.leftovers():
            os.unlink(name, dir_fd=dir_fd)

    def _retire(self, generation: str, current: str | None) -> None:
        """Remove a generation; what is not ours in it moves to the published one."""
        with self.opened(generation) as old:
            foreign = []
            for file_name in locked_files.names(old):
                found = locked_files.status(file_name, old)
                pending = file_name in (PENDING_AUDIT, PENDING_NOTIFY)
                ours = managed_name(file_name) is not None or pending
                if not ours or (found is not None and stat.S_ISDIR(found.st_mode)):
                    foreign.append(file_name)
                else:
                    os.unlink(file_name, dir_fd=old)
            if foreign:
                if current is None:
                    return
                self._carry_over(foreign, generation, old, current)
        os.rmdir(generation, dir_fd=self.fd)

    def _carry_over(self, names: list[str], generation: str, old: int, current: str) -> None:
        with self.opened(current) as target:
            for name in names:
                taken = locked_files.status(name, target) is not None
                new_name = f"{name}.{generation}" if taken else name
                os.rename(name, new_name, src_dir_fd=old, dst_dir_fd=target)

    # What is still to do for the published generation

    def write_log(self) -> None:
        """Log the change that published the current generation, if that has not been done."""
        with self.published() as directory:
            if directory is None or locked_files.status(PENDING_AUDIT, directory) is None:
                return
            text = locked_files.read(PENDING_AUDIT, directory).decode("ascii", "replace")
            syslog.openlog("caspian-credentials", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
            for line in text.splitlines():
                syslog.syslog(syslog.LOG_INFO, line)
            syslog.closelog()
            os.unlink(PENDING_AUDIT, dir_fd=directory)

    def is_notify_pending(self) -> bool:
        """Whether units are still to be told of the current generation."""
        with self.published() as directory:
            return (
                directory is not None and locked_files.status(PENDING_NOTIFY, directory) is not None
            )

    def mark_notified(self) -> None:
        """Note that the units have been told of the current generation."""
        with self.published() as directory:
            if directory is not None:
                os.unlink(PENDING_NOTIFY, dir_fd=directory)


def written_at(name: str, directory: int | None, now: float) -> float:
    """Return when the file of a credential was written, now where there is none."""
    found = None if directory is None else locked_files.status(name + _SUFFIX, directory)
    return now if found is None else min(found.st_mtime, now)


def _count_links(name: str, directory: int, others: list[int]) -> int:
    """Count in how many other generations `name` is the same file."""
    here = locked_files.status(name, directory) if others else None
    if here is None:
        return 0
    found = [locked_files.status(name, other) for other in others]
    return sum(there is not None and os.path.samestat(here, there) for there in found)
