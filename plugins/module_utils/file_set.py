# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files and directories that is brought in line in one call.

Directories are made first. All new contents are then written aside and validated, and only when
none of them is refused does one after the other take its place, each by one rename.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Callable
from typing import Any

from ansible_collections.caspian.airflow.plugins.module_utils import (
    account_directories,
    locked_files,
)
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import (
    Attributes,
    Changes,
    LockedFileError,
)

# A program that checks a file and takes longer than this hangs.
MAX_VALIDATION_SECONDS = 60
MAX_QUOTED_CHARACTERS = 500

CREATED: Changes = {"created": ("absent", "present")}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is to be at a path."""

    path: str
    state: str
    owner: str
    group: str
    mode: int
    content: bytes = dataclasses.field(default=b"", repr=False)
    secret: bool = False
    validate: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: dict[str, Any]) -> Entry:
        """Return the entry that a task gives; LockedFileError says what is wrong with it."""
        path, state, secret, content = (
            given[key] for key in ("path", "state", "secret", "content")
        )
        mode = given["mode"] or ("0400" if secret else "")
        locked_files.split_path(path)
        if state == "absent":
            return cls(path, state, "root", "root", 0)
        if not mode:
            raise LockedFileError("mode is missing: give it, as a quoted octal number")
        bits = parse_mode(mode, secret)
        if state == "file" and (content is None or (secret and not content)):
            raise LockedFileError("content is missing or empty: give it, or state: absent")
        validate = tuple(given["validate"] or ())
        if validate and secret:
            raise LockedFileError("a secret is shown to no other program: leave out validate")
        if validate and not any("%s" in word for word in validate):
            raise LockedFileError("validate has no %s, which stands for the new file")
        data = locked_files.encode(content or "")
        return cls(path, state, given["owner"], given["group"], bits, data, secret, validate)


def parse_mode(text: str, secret: bool) -> int:
    """Return the mode that a text gives in octal, if a file of this kind may have it."""
    return locked_files.parse_mode(text) if secret else account_directories.parse_mode(text)


class FileSet:
    """Brings entries in line; then `changes`, `problems` and `texts` say what became of them."""

    def __init__(self, *, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.changes: dict[str, Changes] = {}
        self.problems: list[str] = []
        # Path → (text before, text now), of files whose content changes and is no secret.
        self.texts: dict[str, tuple[str, str]] = {}
        self._staged: list[_Staged] = []

    def bring(self, entries: list[Entry]) -> None:
        """Bring all entries in line, or no file if one of them is refused."""
        for entry in entries:
            if entry.state == "directory":
                self._attempt(entry, self._make_directory)
        try:
            for entry in entries:
                if entry.state == "file":
                    self._attempt(entry, self._stage)
            if not self.problems:
                for staged in self._staged:
                    self._attempt(staged.entry, staged.publish)
                for entry in entries:
                    if entry.state == "absent":
                        self._attempt(entry, self._remove)
        finally:
            for staged in self._staged:
                staged.close()

    def _attempt(self, entry: Entry, act: Callable[[Entry], None]) -> None:
        try:
            act(entry)
        except (LockedFileError, OSError) as error:
            self.problems.append(f"{entry.path}: {error}")

    def _note(self, entry: Entry, changes: Changes) -> None:
        if changes:
            self.changes[entry.path] = {**self.changes.get(entry.path, {}), **changes}

    def _attributes(self, entry: Entry) -> Attributes | None:
        """Look up the accounts; None where a task before this one would have made one of them."""
        try:
            return locked_files.attributes(entry.owner, entry.group, entry.mode)
        except locked_files.UnknownAccountError:
            if self.check_mode:
                return None
            raise

    def _make_directory(self, entry: Entry) -> None:
        wanted = self._attributes(entry)
        if wanted is None:
            self._note(entry, {"state": ("absent", "directory")})
            return
        made = account_directories.ensure(entry.path, wanted, check_mode=self.check_mode)
        self._note(entry, made)

    def _stage(self, entry: Entry) -> None:
        """Write a file that has to change aside, and have it validated."""
        try:
            directory = open_parent(entry)
        except locked_files.MissingDirectoryError:
            if not self.check_mode:  # A task before this one would have made it.
                raise
            self._note(entry, CREATED)
            self._keep_texts(entry, b"")
            return
        staged = _Staged(entry, directory)
        self._staged.append(staged)
        self._note(entry, locked_files.clear_leftovers(staged.name, directory, self.check_mode))
        wanted = self._attributes(entry)
        found = locked_files.status(staged.name, directory)
        if found is None or wanted is None:
            changes = CREATED
        else:
            changes = locked_files.differences(staged.name, entry.content, wanted, directory)
        if "content" in changes or "created" in changes:
            self._keep_texts(entry, staged.text_before(found))
        if changes and wanted is not None and not self.check_mode:
            staged.write(wanted)
        self._note(entry, changes)

    def _keep_texts(self, entry: Entry, before: bytes) -> None:
        if not entry.secret:
            self.texts[entry.path] = (
                before.decode("utf-8", "replace"),
                entry.content.decode("utf-8", "replace"),
            )

    def _remove(self, entry: Entry) -> None:
        try:
            directory = open_parent(entry)
        except locked_files.MissingDirectoryError:
            return
        try:
            _directory, name = locked_files.split_path(entry.path)
            self._note(entry, locked_files.remove(name, directory, self.check_mode))
        finally:
            os.close(directory)


def open_parent(entry: Entry) -> int:
    """Open the directory of an entry, a secret's through no link and others through root's."""
    directory, _name = locked_files.split_path(entry.path)
    if entry.secret:
        return locked_files.open_directory(directory)
    return account_directories.open_directory(directory)


class _Staged:
    """The new content of a file, which lies beside it until the others are ready."""

    def __init__(self, entry: Entry, directory: int) -> None:
        self.entry = entry
        self.directory = directory
        parent, self.name = locked_files.split_path(entry.path)
        self._parent = parent.rstrip("/")
        self._temporary = ""

    def text_before(self, found: os.stat_result | None) -> bytes:
        """Return what the file holds now, if that may be shown."""
        # A hard link may have been made by an account, to a secret whose content must not be shown.
        if self.entry.secret or found is None or found.st_nlink > 1:
            return b""
        return locked_files.read(self.name, self.directory)

    def write(self, wanted: Attributes) -> None:
        """Write the content aside, bring it to the disk, and have it validated."""
        self._temporary = locked_files.temporary_name(self.name)
        locked_files.create(self._temporary, self.entry.content, wanted, self.directory)
        locked_files.sync(self._temporary, self.directory)
        if self.entry.validate:
            validate(self.entry.validate, f"{self._parent}/{self._temporary}")

    def publish(self, _entry: Entry) -> None:
        """Put the new file in the place of the old one."""
        if self._temporary:
            locked_files.publish(self._temporary, self.name, self.directory)
            self._temporary = ""

    def close(self) -> None:
        """Leave nothing behind that was not published."""
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary, dir_fd=self.directory)
        os.close(self.directory)


def validate(command: tuple[str, ...], path: str) -> None:
    """Have a program check a file that is not in its place yet; LockedFileError if it refuses."""
    words = [word.replace("%s", path) for word in command]
    try:
        # `run_command` of a module has no time-out.
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(  # noqa: S603 - a task of the role names the program
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=MAX_VALIDATION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LockedFileError(
            f"{command[0]} has not said after {MAX_VALIDATION_SECONDS} seconds whether it takes"
            " the new content; nothing was changed"
        ) from None
    except OSError as error:
        raise LockedFileError(
            f"the new content can't be checked, since {command[0]} can't be started:"
            f" {error.strerror}"
        ) from None
    if done.returncode:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").replace(path, "it").strip()
        raise LockedFileError(
            f"{command[0]} refuses the new content: {said[-MAX_QUOTED_CHARACTERS:]}"
        )
