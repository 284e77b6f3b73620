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
  - Generations lie beside the link, in C(.NAME/) where C(NAME) is the last part of O(path). The
    last one is removed after the turn, so a reader that meets the turn opens its file again.
  - A credential that has not changed keeps its file and inode. Files whose content, owner, group,
    mode, access list or number of hard links has drifted are written anew.
  - The C(NAME.json) files of the directory belong to the module, so those that O(credentials) does
    not name are removed. Anything else that lies there is carried over untouched.
  - Nothing is followed out of the directory, and no part of O(path) before its last may be a link.
options:
  path:
    description: Absolute path of the link under which the set is published. Its directory exists.
    type: str
    required: true
  credentials:
    description:
      - The credentials this node receives, by name. Each is a mapping in which C(user), C(host)
        and C(pass) are texts that are not empty; C(url), C(description) and the mapping
        C(metadata) may be left out.
      - A name consists of letters, digits, C(.), C(_) and C(-), begins with a letter or digit and
        has at most 128 characters.
    type: dict
    required: true
  owner:
    description: Name or number of the owner of files and directories.
    type: str
    default: root
  group:
    description: Name or number of the group that may read them.
    type: str
    default: root
  keep:
    description: Names whose last good file stays although O(credentials) does not have them.
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
    keep: [EBI-ETL-PROD-01]
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
  description: Names out of O(keep) whose last good file stays.
  returned: success
  type: list
  elements: str
layout:
  description: >-
    What was put in order around the files: V(link), V(directory), V(store) (the directory of
    generations), V(leftovers) of a run that was killed.
  returned: success
  type: list
  elements: str
"""

import contextlib
import dataclasses
import fcntl
import os
import re
import secrets
import stat
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.caspian.airflow.plugins.module_utils import (
    credential_format,
    locked_files,
)

FILE_MODE = 0o440
DIRECTORY_MODE = 0o750
LOCK = ".lock"
LOCK_SECONDS = 60

_SUFFIX = ".json"
_GENERATION = re.compile(r"[0-9a-f]{16}")


def managed_name(file_name: str) -> str | None:
    """Return the name of the credential whose file this would be."""
    name = file_name.removesuffix(_SUFFIX)
    if name == file_name or credential_format.name_problem(name):
        return None
    return name


@dataclasses.dataclass
class Plan:
    """The set that is wanted, and how the one on the disk differs from it."""

    contents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    unchanged: set[str] = dataclasses.field(default_factory=set)
    added: list[str] = dataclasses.field(default_factory=list)
    updated: list[str] = dataclasses.field(default_factory=list)
    repaired: list[str] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    layout: list[str] = dataclasses.field(default_factory=list)
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

    def result(self, path: str) -> dict[str, object]:
        """Return what the module returns."""
        lists = {
            key: sorted(getattr(self, key))
            for key in ("added", "updated", "repaired", "removed", "kept", "layout")
        }
        return {
            "changed": self.needs_generation or bool(self.layout),
            **lists,
            "diff": {
                "before_header": path,
                "after_header": path,
                "before": {name: found for name, (found, _) in sorted(self.diff.items())},
                "after": {name: wanted for name, (_, wanted) in sorted(self.diff.items())},
            },
        }


class Store:
    """The generations of one set, and the link to the current one."""

    def __init__(self, path: str, owner: str, group: str) -> None:
        """Open the directory of the link; ``MissingDirectoryError`` when there is none."""
        directory, self.link = locked_files.split_path(path)
        self.name = f".{self.link}"
        self.file_attributes = locked_files.attributes(owner, group, FILE_MODE)
        self.directory_attributes = locked_files.attributes(owner, group, DIRECTORY_MODE)
        self.fd: int | None = None
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
        return ["store"] if wrong else []

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
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        # Never closed: the lock ends with the process, however that ends.
        descriptor = os.open(LOCK, flags, 0o600, dir_fd=self.fd)
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

    def links(self) -> list[str]:
        """List the temporary links that a killed run has left."""
        return locked_files.leftovers(self.link, self.parent_fd)

    def open_generation(self, generation: str) -> int:
        """Open one generation."""
        return locked_files.open_inner_directory(generation, self.fd)

    def plan(
        self, credentials: dict[str, dict[str, object]], keep: list[str], layout: list[str]
    ) -> Plan:
        """Compare the set on the disk with the one that is wanted."""
        plan = Plan(layout=layout)
        current = self.current()
        stale = [generation for generation in self.generations() if generation != current]
        if stale or self.links():
            plan.layout.append("leftovers")
        if current is None:
            plan.layout.append("link")
            plan.contents = {name: credential_format.encode(c) for name, c in credentials.items()}
            plan.added = list(credentials)
        else:
            with contextlib.ExitStack() as stack:
                directory = self.open_generation(current)
                stack.callback(os.close, directory)
                others = []
                for generation in stale:
                    others.append(self.open_generation(generation))
                    stack.callback(os.close, others[-1])
                self._compare(plan, credentials, keep, directory, others)
        for name in plan.added:
            plan.diff[name] = ("absent", "present")
        for name in plan.removed:
            plan.diff[name] = ("present", "absent")
        for part in plan.layout:
            plan.diff[f"({part})"] = ("out of order", "in order")
        return plan

    def _compare(
        self,
        plan: Plan,
        credentials: dict[str, dict[str, object]],
        keep: list[str],
        directory: int,
        others: list[int],
    ) -> None:
        if locked_files.attribute_differences(directory, self.directory_attributes):
            plan.layout.append("directory")
        existing = {
            name
            for file_name in locked_files.names(directory)
            if (name := managed_name(file_name)) is not None
        }
        plan.contents = {name: credential_format.encode(c) for name, c in credentials.items()}
        for name in keep:
            if name in existing and name not in plan.contents:
                with contextlib.suppress(OSError):
                    content = locked_files.read(name + _SUFFIX, directory)
                    if not credential_format.content_problem(credential_format.decode(content)):
                        plan.contents[name] = content
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

    def publish(self, plan: Plan) -> None:
        """Build a generation from new and unchanged files, and turn the link to it."""
        current = self.current()
        generation = secrets.token_hex(8)
        temporary = f".{self.link}.{generation}.tmp"
        try:
            os.mkdir(generation, 0o700, dir_fd=self.fd)
            with contextlib.ExitStack() as stack:
                new = self.open_generation(generation)
                stack.callback(os.close, new)
                if plan.unchanged:
                    last = self.open_generation(current)
                    stack.callback(os.close, last)
                    self._link(plan, last, new)
                self._write(plan, new)
                locked_files.set_attributes(new, self.directory_attributes)
                os.fsync(new)
            os.fsync(self.fd)
            os.symlink(f"{self.name}/{generation}", temporary, dir_fd=self.parent_fd)
            os.rename(temporary, self.link, src_dir_fd=self.parent_fd, dst_dir_fd=self.parent_fd)
            os.fsync(self.parent_fd)
        except BaseException:
            if self.current() != generation:
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
        for name in written:
            locked_files.sync(name + _SUFFIX, new)

    def clean(self) -> None:
        """Remove all generations but the published one, and temporary links."""
        current = self.current()
        for generation in self.generations():
            if generation != current:
                self._retire(generation, current)
        for link in self.links():
            os.unlink(link, dir_fd=self.parent_fd)

    def _retire(self, generation: str, current: str | None) -> None:
        """Remove a generation; what is not ours in it moves to the published one."""
        with contextlib.ExitStack() as stack:
            old = self.open_generation(generation)
            stack.callback(os.close, old)
            foreign = []
            for file_name in locked_files.names(old):
                found = locked_files.status(file_name, old)
                if managed_name(file_name) is None or stat.S_ISDIR(found.st_mode):
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


def _same_file(name: str, directory: int, others: list[int]) -> int:
    """Count in how many other generations ``name`` is the same file."""
    if not others:
        return 0
    here = locked_files.status(name, directory)
    found = [locked_files.status(name, other) for other in others]
    return sum(there is not None and os.path.samestat(here, there) for there in found)


def check(params: dict[str, object]) -> None:
    """Refuse names and credentials that must not become files."""
    problems = [
        problem
        for name in [*params["credentials"], *params["keep"]]
        if (problem := credential_format.name_problem(name))
    ]
    problems += [
        f"{name}: {problem}"
        for name, credential in params["credentials"].items()
        if (problem := credential_format.content_problem(credential))
    ]
    if problems:
        raise locked_files.LockedFileError("; ".join(problems))


def apply(params: dict[str, object], check_mode: bool) -> Plan:
    """Bring the set on the disk in line; return what changed."""
    check(params)
    credentials = params["credentials"]
    try:
        store = Store(params["path"], params["owner"], params["group"])
    except (locked_files.MissingDirectoryError, locked_files.UnknownAccountError):
        if not check_mode:
            raise
        # A task before this one would have made them.
        return Plan(added=list(credentials), layout=["link", "store"])
    layout = store.open()
    if not check_mode:
        if layout:
            store.prepare()
        store.lock()
    plan = store.plan(credentials, params["keep"], layout)
    if plan.removed and not plan.contents and not params["allow_empty"]:
        raise locked_files.LockedFileError(
            f"the set is empty and would remove all {len(plan.removed)} credentials of this node;"
            " nothing was changed. If that is meant, allow it with allow_empty: true"
            " (role credentials: credentials_allow_empty)"
        )
    if not check_mode:
        if plan.needs_generation:
            store.publish(plan)
        if plan.needs_generation or "leftovers" in plan.layout:
            store.clean()
    return plan


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "str", "required": True},
            "credentials": {"type": "dict", "required": True, "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "allow_empty": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    # Results hold names and kinds of change only. Masking every value of every credential in them
    # would garble names that contain a user or a host, and takes minutes for thousands of values.
    module.params["credentials"] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    module.no_log_values.clear()
    try:
        plan = apply(params, module.check_mode)
    except (locked_files.LockedFileError, OSError) as error:
        module.fail_json(msg=f"{params['path']}: {error}")
    module.exit_json(**plan.result(params["path"]))


if __name__ == "__main__":
    main()
