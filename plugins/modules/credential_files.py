#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a node's whole set of credentials in one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credential_files
short_description: Publish a node's whole set of credentials as locked files, in one step
version_added: 0.1.0
description:
  - Writes every credential to a file C(NAME.json) of mode 0440 in a new directory of mode 0750, a
    generation, and publishes it by turning the symbolic link O(path) to it. A reader sees the
    old set or the new one, also when the module is killed or the disk is full.
  - Where O(owner) is not root, the modes are 0400 and 0700, since what an account owns, nobody else
    may read. Such an account can run the module itself.
  - Generations lie beside the link, in C(.NAME/) where C(NAME) is the last part of O(path). The
    last one is removed after the turn, so a reader that meets the turn opens its file again.
  - A credential that has not changed keeps its file and inode. Files whose content, owner, group,
    mode, access list or number of hard links has drifted are written anew.
  - The C(NAME.json) files of the directory belong to the module, so those that O(credentials) does
    not name are removed. Anything else that lies there is carried over untouched.
  - Nothing is followed out of the directory, and no part of O(path) before its last may be a link.
  - Each change is logged to syslog, facility C(authpriv), as C(caspian-credentials), with the
    generation, O(by), O(vault) and the names, each with the first digits of its fingerprint.
options:
  path:
    description: Absolute path of the link under which the set is published. Its directory exists.
    type: str
    required: true
  credentials:
    description:
      - The credentials this node receives, by name. Each is a mapping in which C(user), C(host)
        and C(pass) are texts that are not empty; C(url), C(description) and the mapping
        C(metadata) may be left out. C(protected) is a list of the fields that readers hide,
        metadata as C(metadata.KEY); without it, they hide all metadata.
      - A name consists of letters, digits, C(.), C(_) and C(-), begins with a letter or digit and
        has at most 128 characters.
    type: dict
    required: true
  owner:
    description:
      - Name or number of the owner of files and directories. Only root can name another account
        than its own.
    type: str
    default: root
  group:
    description:
      - Name or number of the group that may read them, where O(owner) is root. Default is the
        owner's own.
    type: str
  problems:
    description:
      - Names whose record could not be had this time, and why. Their last good file stays, and
        O(status) has the reason.
    type: dict
    default: {}
  keep:
    description:
      - Names whose last good file stays although neither O(credentials) nor O(problems) has them,
        since nobody asked the vault for them this time. Their entry in O(status) stays too.
    type: list
    elements: str
    default: []
  status:
    description:
      - Absolute path of a file that says, in JSON, of each source when it was last changed and last
        good, and what is wrong with it. It is written by every run, after the set is published,
        with the owner, group and mode of the credentials, and it holds no value.
      - The fingerprint of a source is an HMAC-SHA-256 of its file, under a random key that only
        O(owner) can read and that never leaves the node. So it shows a change, but neither helps
        to guess a password nor shows that two nodes have the same.
    type: str
  vault:
    description: What to call the vault in O(status) and in the log.
    type: str
    default: ''
  by:
    description: Who runs this, for O(status) and the log.
    type: str
    default: ''
  notify:
    description:
      - systemd units that are told once by C(systemctl try-reload-or-restart) after a new set
        was published. If a run is killed before it told them, or one of them fails, the next run
        tells them.
    type: list
    elements: str
    default: []
  allow_empty:
    description: Whether an empty set may replace one that is not.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts the lists without writing.
    support: full
  diff_mode:
    description: Shows names and kinds of change, never values.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Publish the credentials of this node
  caspian.airflow.credential_files:
    path: /etc/airflow/credentials
    group: airflow
    credentials:
      EBI-ETL-DEV-01:
        user: etl
        host: db1.example.org
        pass: "{{ etl_password }}"
        metadata: {port: 5432}
    problems:
      EBI-ETL-PROD-01: there is no such record
    status: /etc/airflow/credentials.status.json
    vault: caspian.airflow.kdbx
    notify: [report-server.service]

- name: Publish credentials that belong to an account, which runs this itself
  caspian.airflow.credential_files:
    path: /home/refresh/credentials
    owner: refresh
    credentials: "{{ own_credentials }}"
"""

RETURN = r"""
added:
  description: Names that have a file now and had none.
  returned: success
  type: list
  elements: str
  sample: [EBI-ETL-DEV-01]
updated:
  description: Names whose file had another content.
  returned: success
  type: list
  elements: str
repaired:
  description: Names whose file had another owner, group, mode, access list, type or more links.
  returned: success
  type: list
  elements: str
removed:
  description: Names whose file is gone.
  returned: success
  type: list
  elements: str
kept:
  description: Names out of O(problems) whose last good file stays.
  returned: success
  type: list
  elements: str
layout:
  description: >-
    What was put in order around the files: V(link), V(directory), V(store) (the directory of
    generations, and the key of the fingerprints), V(status) (a status file that was missing,
    damaged, of another owner or mode, or of another generation; not one that is merely older),
    V(leftovers) of a run that was killed.
  returned: success
  type: list
  elements: str
notified:
  description: Units out of O(notify) that were told.
  returned: success
  type: list
  elements: str
published:
  description: >-
    V(true) when the credentials were published and something behind that failed, such as a unit
    that does not reload. The other values are returned then, too.
  returned: failure after publishing
  type: bool
summary:
  description: How many sources are V(current), V(kept) and V(missing), as O(status) has it.
  returned: success
  type: dict
  contains:
    current: {description: Delivered as the vault has them., type: int}
    kept: {description: With their last good file only., type: int}
    missing: {description: Without a file., type: int}
    oldest_last_good_at:
      description: When the one was last good that has not been for longest; V(null) if none was.
      type: str
  sample: {current: 12, kept: 1, missing: 0, oldest_last_good_at: '2026-11-22T17:39:37Z'}
"""

import contextlib
import dataclasses
import fcntl
import os
import re
import secrets
import stat
import subprocess
import syslog
import time
from collections.abc import Callable, Iterable, Iterator

from ansible_collections.caspian.airflow.plugins.module_utils import (
    credential_format,
    credential_status,
    locked_files,
    secret_module,
)

# What root owns, its group may read. What another account owns, it alone may.
FILE_MODES = {True: 0o440, False: 0o400}
DIRECTORY_MODES = {True: 0o750, False: 0o700}
# Of what only the module itself needs.
OWN_MODE = 0o400
LOCK = ".lock"
LOCK_SECONDS = 120
NOTIFY_SECONDS = 100
KEY = ".key"
KEY_BYTES = 32
# Part of a generation until the log, and until the units have been told of it. As they are
# published with it, a run that is killed in between leaves the task to the next.
UNLOGGED = ".unlogged"
UNTOLD = ".untold"

_SUFFIX = ".json"
_GENERATION = re.compile(r"[0-9a-f]{16}")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*")
_KINDS = ("added", "updated", "repaired", "removed", "kept", "layout")


def managed_name(file_name: str) -> str | None:
    """Return the name of the credential whose file this would be."""
    name = file_name.removesuffix(_SUFFIX)
    if name == file_name or credential_format.name_problem(name):
        return None
    return name


@dataclasses.dataclass
class Wanted:
    """The set that was asked for."""

    credentials: dict[str, dict[str, object]]
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    keep: list[str] = dataclasses.field(default_factory=list)

    def staying(self) -> list[str]:
        """Return the names whose last good file stays."""
        names = dict.fromkeys([*self.problems, *self.keep])
        return [name for name in names if name not in self.credentials]

    def sources(
        self,
        fingerprints: dict[str, str],
        former: dict[str, dict[str, object]],
        now: float,
        written_at: Callable[[str], str],
    ) -> dict[str, dict[str, object]]:
        """Return what the status says of each source; `fingerprints` has those with a file."""
        return credential_status.sources(
            self.credentials,
            self.problems,
            self.keep,
            fingerprints,
            former,
            credential_status.timestamp(now),
            written_at,
        )


@dataclasses.dataclass
class Plan:
    """The set that is wanted, and how the one on the disk differs from it."""

    wanted: Wanted
    contents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    unchanged: set[str] = dataclasses.field(default_factory=set)
    added: list[str] = dataclasses.field(default_factory=list)
    updated: list[str] = dataclasses.field(default_factory=list)
    repaired: list[str] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    layout: list[str] = dataclasses.field(default_factory=list)
    notified: list[str] = dataclasses.field(default_factory=list)
    sources: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    diff: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def needs_generation(self) -> bool:
        """Whether anything differs that only a new generation puts right."""
        names = self.added or self.updated or self.repaired or self.removed
        return bool(names or {"link", "directory"} & set(self.layout))

    def note(self, name: str, kinds: dict[str, tuple[str, str]]) -> None:
        """Note how an existing file differs."""
        if "content" in kinds:
            self.updated.append(name)
        if kinds.keys() - {"content"}:
            self.repaired.append(name)
        self.diff[name] = (
            ", ".join(f"{kind}: {found}" for kind, (found, _) in kinds.items()),
            ", ".join(f"{kind}: {wanted}" for kind, (_, wanted) in kinds.items()),
        )

    def changes(self) -> dict[str, list[str]]:
        """Return the names by kind of change."""
        return {kind: sorted(getattr(self, kind)) for kind in _KINDS}

    def result(self) -> dict[str, object]:
        """Return what the module returns."""
        return {
            "changed": bool(self.needs_generation or self.layout or self.notified),
            **self.changes(),
            "notified": self.notified,
            "summary": credential_status.summary(self.sources),
        }

    def differences(self, path: str) -> dict[str, object]:
        """Return what Ansible shows with --diff."""
        found = dict.fromkeys(self.added, ("absent", "present"))
        found |= dict.fromkeys(self.removed, ("present", "absent"))
        found |= {f"({part})": ("out of order", "in order") for part in self.layout}
        found |= self.diff
        return {
            "before_header": path,
            "after_header": path,
            "before": {name: before for name, (before, _) in sorted(found.items())},
            "after": {name: after for name, (_, after) in sorted(found.items())},
        }


class Store:
    """The generations of one set, and the link to the current one."""

    def __init__(self, path: str, owner: str, group: str | None) -> None:
        """Open the directory of the link; ``MissingDirectoryError`` when there is none."""
        directory, self.link = locked_files.split_path(path)
        self.name = f".{self.link}"
        uid, gid = locked_files.accounts(owner, group)
        by_root = uid == 0
        self.file_attributes = locked_files.Attributes(uid, gid, FILE_MODES[by_root])
        self.directory_attributes = locked_files.Attributes(uid, gid, DIRECTORY_MODES[by_root])
        self.own_attributes = locked_files.Attributes(uid, gid, OWN_MODE)
        self.fd: int | None = None
        # Check mode has no key when there is none yet; it writes no fingerprint.
        self.key = b""
        self.parent_fd = locked_files.open_directory(directory)
        found = locked_files.status(self.link, self.parent_fd)
        if found is not None and not stat.S_ISLNK(found.st_mode):
            raise locked_files.LockedFileError(
                "there is a file or directory that is not ours: move it away, then run again"
            )

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
        # An account must not get a directory of root's for its own by giving it this name. An empty
        # one is what a run leaves that is killed as it makes it.
        if "owner" in wrong and self.directory_attributes.uid and locked_files.names(self.fd):
            raise locked_files.LockedFileError(
                f"{self.name!r} beside it belongs to another account: look where it comes from"
                " and remove it"
            )
        return ["store"] if wrong or not self._read_key() else []

    def prepare(self) -> None:
        """Put the directory of generations in order."""
        if self.fd is None:
            with contextlib.suppress(FileExistsError):  # Another first run was quicker.
                os.mkdir(self.name, 0o700, dir_fd=self.parent_fd)
            self.fd = locked_files.open_inner_directory(self.name, self.parent_fd)
        locked_files.set_attributes(self.fd, self.directory_attributes)
        os.fsync(self.parent_fd)

    def lock(self) -> None:
        """Wait until no other run writes; only the owner can hold the lock."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        # Never closed: the lock ends with the process, however that ends.
        try:
            descriptor = os.open(LOCK, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self.fd)
            # The account may run this itself the next time.
            os.fchown(descriptor, self.own_attributes.uid, self.own_attributes.gid)
        except FileExistsError:
            descriptor = os.open(LOCK, flags, dir_fd=self.fd)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise locked_files.LockedFileError(
                        f"another run has been writing for {LOCK_SECONDS} seconds"
                    ) from None
                time.sleep(0.1)
            else:
                return

    def _read_key(self) -> bool:
        """Read the key of the fingerprints; say whether it is one that nobody else had."""
        try:
            key = locked_files.read(KEY, self.fd, KEY_BYTES + 1)
        except OSError:
            return False
        wrong = locked_files.differences(KEY, key, self.own_attributes, self.fd)
        if wrong or len(key) != KEY_BYTES:
            return False
        self.key = key
        return True

    def prepare_key(self) -> None:
        """Make a new key in the place of one that is missing, or that others may have read."""
        if not self._read_key():
            self.key = secrets.token_bytes(KEY_BYTES)
            locked_files.replace(KEY, self.key, self.own_attributes, self.fd)

    def current(self) -> str | None:
        """Return the generation that is published, None when the link is missing or not ours."""
        try:
            target = os.readlink(self.link, dir_fd=self.parent_fd)
        except FileNotFoundError:
            return None
        store, _, generation = target.partition("/")
        if store != self.name or generation not in self.generations():
            return None
        return generation

    def generations(self) -> list[str]:
        """List the generations on the disk, published or not."""
        if self.fd is None:
            return []
        with os.scandir(self.fd) as entries:
            return sorted(
                entry.name
                for entry in entries
                if _GENERATION.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )

    def leftovers(self) -> list[tuple[str, int]]:
        """List the temporary links and files that a killed run has left."""
        places = [(self.link, self.parent_fd)]
        if self.fd is not None:
            places.append((KEY, self.fd))
        return [
            (found, dir_fd)
            for name, dir_fd in places
            for found in locked_files.leftovers(name, dir_fd)
        ]

    def open_generation(self, generation: str) -> int:
        """Open one generation."""
        return locked_files.open_inner_directory(generation, self.fd)

    @contextlib.contextmanager
    def published(self) -> Iterator[int | None]:
        """Open the generation that is published, if there is one."""
        current = self.current()
        descriptor = None if current is None else self.open_generation(current)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def plan(self, wanted: Wanted, layout: list[str]) -> Plan:
        """Compare the set on the disk with the one that is wanted."""
        plan = Plan(wanted, layout=layout)
        plan.contents = {
            name: credential_format.encode(credential)
            for name, credential in wanted.credentials.items()
        }
        current = self.current()
        stale = [generation for generation in self.generations() if generation != current]
        if stale or self.leftovers():
            plan.layout.append("leftovers")
        if current is None:
            plan.layout.append("link")
            plan.added = list(plan.contents)
            return plan
        with contextlib.ExitStack() as stack:
            directory = self.open_generation(current)
            stack.callback(os.close, directory)
            others = []
            for generation in stale:
                others.append(self.open_generation(generation))
                stack.callback(os.close, others[-1])
            self._compare(plan, directory, others)
        return plan

    def _compare(self, plan: Plan, directory: int, others: list[int]) -> None:
        if locked_files.attribute_differences(directory, self.directory_attributes):
            plan.layout.append("directory")
        found = locked_files.names(directory)
        if UNLOGGED in found and "leftovers" not in plan.layout:
            plan.layout.append("leftovers")
        existing = {name for file_name in found if (name := managed_name(file_name)) is not None}
        for name in plan.wanted.staying():
            if name in existing:
                with contextlib.suppress(OSError):
                    content = locked_files.read(name + _SUFFIX, directory)
                    if not credential_format.content_problem(credential_format.decode(content)):
                        plan.contents[name] = content
                        if name in plan.wanted.problems:
                            plan.kept.append(name)
        for name, content in plan.contents.items():
            if name not in existing:
                plan.added.append(name)
                continue
            file_name = name + _SUFFIX
            links = 1 + _same_file(file_name, directory, others)
            kinds = locked_files.differences(
                file_name, content, self.file_attributes, directory, links
            )
            if kinds:
                plan.note(name, kinds)
            else:
                plan.unchanged.add(name)
        plan.removed = list(existing - plan.contents.keys())

    def publish(self, plan: Plan, log: Callable[[str], list[str]], tell: bool) -> None:
        """Build a generation from new and unchanged files, and turn the link to it.

        ``log`` returns what to log of a generation, and ``tell`` says whether units are told of it.
        """
        current = self.current()
        generation = secrets.token_hex(8)
        temporary = f".{self.link}.{generation}.tmp"
        try:
            os.mkdir(generation, 0o700, dir_fd=self.fd)
            with contextlib.ExitStack() as stack:
                new = self.open_generation(generation)
                stack.callback(os.close, new)
                if os.fstat(new).st_uid != os.geteuid() or locked_files.names(new):
                    raise locked_files.LockedFileError(
                        f"somebody else writes in {self.name!r} beside it"
                    )
                if plan.unchanged:
                    last = self.open_generation(current)
                    stack.callback(os.close, last)
                    self._link(plan, last, new)
                self._write(plan, new)
                lines = "\n".join(log(generation)).encode("ascii")
                locked_files.create(UNLOGGED, lines, self.own_attributes, new)
                locked_files.sync(UNLOGGED, new)
                if tell:
                    locked_files.create(UNTOLD, b"", self.own_attributes, new)
                    locked_files.sync(UNTOLD, new)
                locked_files.set_attributes(new, self.directory_attributes)
                os.fsync(new)
            os.fsync(self.fd)
            os.symlink(f"{self.name}/{generation}", temporary, dir_fd=self.parent_fd)
            os.rename(temporary, self.link, src_dir_fd=self.parent_fd, dst_dir_fd=self.parent_fd)
        except BaseException:
            with contextlib.suppress(OSError):
                self.clean()
            raise

    def _link(self, plan: Plan, last: int, new: int) -> None:
        """Take the unchanged files over, and look at them again where nobody can swap them."""
        for name in sorted(plan.unchanged):
            file_name = name + _SUFFIX
            os.link(file_name, file_name, src_dir_fd=last, dst_dir_fd=new, follow_symlinks=False)
            if locked_files.differences(
                file_name, plan.contents[name], self.file_attributes, new, links=None
            ):
                os.unlink(file_name, dir_fd=new)
                plan.unchanged.remove(name)
                plan.repaired.append(name)

    def _write(self, plan: Plan, new: int) -> None:
        written = [name for name in plan.contents if name not in plan.unchanged]
        for name in written:
            locked_files.create(name + _SUFFIX, plan.contents[name], self.file_attributes, new)
        # All are written before the first is waited for: so the disk takes them in few steps.
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
        with contextlib.ExitStack() as stack:
            old = self.open_generation(generation)
            stack.callback(os.close, old)
            foreign = []
            for file_name in locked_files.names(old):
                found = locked_files.status(file_name, old)
                ours = managed_name(file_name) is not None or file_name in (UNLOGGED, UNTOLD)
                if not ours or stat.S_ISDIR(found.st_mode):
                    foreign.append(file_name)
                else:
                    os.unlink(file_name, dir_fd=old)
            if foreign and current is None:
                return
            if foreign:
                target = self.open_generation(current)
                stack.callback(os.close, target)
                for file_name in foreign:
                    taken = locked_files.status(file_name, target) is not None
                    new_name = f"{file_name}.{generation}" if taken else file_name
                    os.rename(file_name, new_name, src_dir_fd=old, dst_dir_fd=target)
        os.rmdir(generation, dir_fd=self.fd)

    def log(self) -> None:
        """Log the change that published the current generation, if that has not been done."""
        with self.published() as directory:
            if directory is None or locked_files.status(UNLOGGED, directory) is None:
                return
            lines = locked_files.read(UNLOGGED, directory).decode("ascii", "replace").splitlines()
            syslog.openlog("caspian-credentials", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
            for line in lines:
                syslog.syslog(syslog.LOG_INFO, line)
            syslog.closelog()
            os.unlink(UNLOGGED, dir_fd=directory)

    def is_untold(self) -> bool:
        """Whether no units have been told of the current generation, and some should be."""
        with self.published() as directory:
            return directory is not None and locked_files.status(UNTOLD, directory) is not None

    def told(self) -> None:
        """Note that the units have been told of the current generation."""
        with self.published() as directory:
            os.unlink(UNTOLD, dir_fd=directory)

    def sources(
        self,
        plan: Plan,
        fingerprints: dict[str, str],
        former: dict[str, dict[str, object]],
        now: float,
    ) -> dict[str, dict[str, object]]:
        """Return what the status says of each source once the plan is carried out."""
        with self.published() as directory:

            def written_at(name: str) -> str:
                seconds = now
                if name in plan.unchanged:
                    found = locked_files.status(name + _SUFFIX, directory)
                    seconds = now if found is None else min(found.st_mtime, now)
                return credential_status.timestamp(seconds)

            return plan.wanted.sources(fingerprints, former, now, written_at)


class StatusFile:
    """The file that says what this node has, and since when."""

    def __init__(self, path: str, wanted: locked_files.Attributes) -> None:
        """Read what the former run wrote; ``MissingDirectoryError`` when its place is."""
        self.path = path
        self.wanted = wanted
        directory, self.name = locked_files.split_path(path)
        try:
            self.dir_fd = locked_files.open_directory(directory)
        except locked_files.LockedFileError as error:
            raise type(error)(f"status: {error}") from None
        found = locked_files.status(self.name, self.dir_fd)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise locked_files.LockedFileError(f"status: {path} is a directory: move it away")
        content, self.former, self.attributes_differ = b"", None, True
        if found is not None:
            with contextlib.suppress(OSError):
                content = locked_files.read(self.name, self.dir_fd, credential_status.LARGEST)
                self.former = credential_status.parse(content)
            kinds = locked_files.differences(self.name, content, wanted, self.dir_fd)
            self.attributes_differ = bool(kinds.keys() - {"content"})

    def is_out_of_order(self, current: str | None) -> bool:
        """Whether it is more than older than it will be."""
        if self.former is None or self.attributes_differ:
            return True
        # A run was killed between publishing and writing this.
        return current is not None and self.former.get("generation") != current

    def sources(self) -> dict[str, dict[str, object]]:
        """Return the entries that the former run wrote."""
        return self.former["sources"] if self.former else {}

    def leftovers(self) -> list[str]:
        """List the temporary files that a killed run has left."""
        return locked_files.leftovers(self.name, self.dir_fd)

    def write(self, head: dict[str, object], sources: dict[str, dict[str, object]]) -> None:
        """Replace the file."""
        try:
            for name in self.leftovers():
                os.unlink(name, dir_fd=self.dir_fd)
            content = credential_status.encode(head, sources)
            locked_files.replace(self.name, content, self.wanted, self.dir_fd)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None


def _same_file(name: str, directory: int, others: list[int]) -> int:
    """Count in how many other generations ``name`` is the same file."""
    if not others:
        return 0
    here = locked_files.status(name, directory)
    found = [locked_files.status(name, other) for other in others]
    return sum(there is not None and os.path.samestat(here, there) for there in found)


class NotifyError(Exception):
    """Units that were told and could not follow."""

    def __init__(self, units: list[str], reason: str) -> None:
        """Name the units."""
        super().__init__(f"systemctl could not reload {', '.join(units)}: {reason}")
        self.units = units


def notify(units: list[str]) -> None:
    """Have systemd reload the units that run, or restart those that can't."""
    try:
        done = subprocess.run(  # noqa: S603 - the names of units were checked
            ["systemctl", "try-reload-or-restart", *units],  # noqa: S607 - where the system has it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=NOTIFY_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotifyError(units, f"it took more than {NOTIFY_SECONDS} seconds") from None
    except OSError as error:
        raise NotifyError(units, error.strerror) from None
    if done.returncode:
        failed = [unit for unit in units if unit in done.stderr]
        raise NotifyError(failed or units, " ".join(done.stderr.split())[:500] or "it says not why")


def check(params: dict[str, object], wanted: Wanted) -> None:
    """Refuse names and credentials that must not become files, and the like."""
    problems = [
        problem
        for name in [*wanted.credentials, *wanted.problems, *wanted.keep]
        if (problem := credential_format.name_problem(name))
    ]
    problems += [
        f"{name}: {problem}"
        for name, credential in wanted.credentials.items()
        if (problem := credential_format.content_problem(credential))
    ]
    problems += [
        f"notify: {unit!r} is not the name of a systemd unit"
        for unit in params["notify"]
        if not _UNIT.fullmatch(unit)
    ]
    directory, link = locked_files.split_path(params["path"])
    store = f"{directory.rstrip('/')}/.{link}"
    if params["status"] and f"{params['status']}/".startswith((f"{params['path']}/", f"{store}/")):
        problems.append(f"status: {params['status']} is a place of the credentials; name another")
    if problems:
        raise locked_files.LockedFileError("; ".join(problems))


class PublishedError(Exception):
    """The set is published; what came after that went wrong."""

    def __init__(self, plan: Plan, problems: list[str]) -> None:
        """Hold what was done."""
        super().__init__(
            "the credentials ARE published, but after that something failed, which the next run"
            f" tries again: {'; '.join(problems)}"
        )
        self.plan = plan


class Run:
    """One run of the module."""

    def __init__(self, params: dict[str, object], wanted: Wanted, check_mode: bool) -> None:
        """Open what is there, and look at nothing yet."""
        self.params = params
        self.wanted = wanted
        self.check_mode = check_mode
        self.now = time.time()
        self.units = list(dict.fromkeys(params["notify"]))
        self.store = Store(params["path"], params["owner"], params["group"])
        self.status: StatusFile | None = None
        self.problems: list[str] = []

    def __call__(self) -> Plan:
        """Bring the set on the disk in line; return what changed."""
        store = self.store
        layout = store.open()
        if not self.check_mode:
            if layout:
                store.prepare()
            store.lock()
            store.prepare_key()
            # Not before the run that had the lock.
            self.now = time.time()
        self._open_status()
        plan = store.plan(self.wanted, layout)
        self._plan_status(plan)
        self._refuse_to_empty(plan)
        if self.check_mode:
            if self.units and (plan.needs_generation or store.is_untold()):
                plan.notified = self.units
        else:
            self._apply(plan)
        return plan

    def _open_status(self) -> None:
        if self.params["status"]:
            try:
                self.status = StatusFile(self.params["status"], self.store.file_attributes)
            except locked_files.MissingDirectoryError:
                if not self.check_mode:
                    raise

    def _plan_status(self, plan: Plan) -> None:
        former = self.status.sources() if self.status else {}
        fingerprints = self._fingerprints(plan, plan.contents)
        plan.sources = self.store.sources(plan, fingerprints, former, self.now)
        if not self.params["status"]:
            return
        if self.status is None or self.status.is_out_of_order(self.store.current()):
            plan.layout.append("status")
        if self.status and self.status.leftovers() and "leftovers" not in plan.layout:
            plan.layout.append("leftovers")

    def _fingerprints(self, plan: Plan, names: Iterable[str]) -> dict[str, str]:
        key = self.store.key
        return {name: credential_status.fingerprint(key, plan.contents[name]) for name in names}

    def _refuse_to_empty(self, plan: Plan) -> None:
        if plan.removed and not plan.contents and not self.params["allow_empty"]:
            raise locked_files.LockedFileError(
                f"the set is empty and would remove all {len(plan.removed)} credentials of this"
                " node; nothing was changed. If that is meant, allow it with allow_empty: true"
                " (role credentials: credentials_allow_empty)"
            )

    def _apply(self, plan: Plan) -> None:
        store = self.store
        # Of a run that was killed before it did, whose generation is about to go.
        self._try(store.log)
        if plan.needs_generation:
            store.publish(plan, lambda name: self._log_lines(plan, name), bool(self.units))
            self._try(store.sync)
        if plan.needs_generation or "leftovers" in plan.layout:
            self._try(store.clean)
        if plan.needs_generation:
            self._try(store.log)
        if self.status:
            self._try(lambda: self._write_status(plan))
        if self.units:
            self._try(lambda: self._notify(plan))
        if self.problems:
            raise PublishedError(plan, self.problems)

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step behind the publishing, whatever became of the one before it."""
        try:
            step()
        except OSError as error:
            self.problems.append(str(error))

    def _log_lines(self, plan: Plan, generation: str) -> list[str]:
        kinds = {kind: names for kind, names in plan.changes().items() if kind != "kept"}
        written = [*plan.added, *plan.updated, *plan.repaired]
        return list(
            credential_status.log_lines(
                generation,
                self.params["by"],
                self.params["vault"],
                kinds,
                self._fingerprints(plan, written),
            )
        )

    def _write_status(self, plan: Plan) -> None:
        head = {
            "version": credential_status.VERSION,
            "refreshed_at": credential_status.timestamp(self.now),
            "vault": self.params["vault"],
            "by": self.params["by"],
            "generation": self.store.current(),
        }
        self.status.write(head, plan.sources)

    def _notify(self, plan: Plan) -> None:
        if not self.store.is_untold():
            return
        try:
            notify(self.units)
        except NotifyError as error:
            plan.notified = [unit for unit in self.units if unit not in error.units]
            self.problems.append(str(error))
        else:
            plan.notified = self.units
            self.store.told()


def apply(params: dict[str, object], wanted: Wanted, check_mode: bool) -> Plan:
    """Bring the set on the disk in line; return what changed."""
    check(params, wanted)
    try:
        run = Run(params, wanted, check_mode)
    except (locked_files.MissingDirectoryError, locked_files.UnknownAccountError):
        if not check_mode:
            raise
        # A task before this one would have made them.
        plan = Plan(wanted, added=list(wanted.credentials), layout=["link", "store"])
        plan.layout += ["status"] if params["status"] else []
        plan.notified = list(dict.fromkeys(params["notify"]))
        now = time.time()
        fingerprints = dict.fromkeys(wanted.credentials, "")
        written_at = credential_status.timestamp(now)
        plan.sources = wanted.sources(fingerprints, {}, now, lambda _: written_at)
        return plan
    return run()


def main() -> None:
    """Run the module."""
    module = secret_module.SecretModule(
        secret="credentials",  # noqa: S106 - the name of an argument
        stand_in={},
        argument_spec={
            "path": {"type": "str", "required": True},
            "credentials": {"type": "dict", "required": True, "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str"},
            "problems": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "status": {"type": "str"},
            "vault": {"type": "str", "default": ""},
            "by": {"type": "str", "default": ""},
            "notify": {"type": "list", "elements": "str", "default": []},
            "allow_empty": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    if not isinstance(module.secret, dict):
        module.fail_json(msg=f"{path}: credentials is not a mapping")
    problems = {name: str(reason) for name, reason in module.params["problems"].items()}
    wanted = Wanted(module.secret, problems, module.params["keep"])
    # What was asked is part of the result, and these can be thousands.
    module.params["keep"] = f"{len(wanted.keep)} names"
    failure, extra = None, {}
    try:
        plan = apply(module.params, wanted, module.check_mode)
    except PublishedError as error:
        plan, failure, extra = error.plan, error, {"published": True}
    except locked_files.LockedFileError as error:
        module.fail_json(msg=f"{path}: {error}")
    except OSError as error:
        module.fail_json(msg=f"{path}: {error}; nothing was published, the former set stays")
    # Many names twice, for which nobody has asked.
    diff = {"diff": plan.differences(path)} if module._diff else {}
    result = plan.result() | diff | extra
    if failure:
        module.fail_json(msg=f"{path}: {failure}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
