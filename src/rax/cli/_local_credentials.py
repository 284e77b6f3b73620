# SPDX-License-Identifier: Apache-2.0
"""The folder of a laptop's own credentials: closed to others, out of git, written atomically."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rax import _laptop
from rax._git import git
from rax.credentials import _files, _freshness, _writing
from rax.errors import CommandError, CredentialNotFoundError, InsecureCredentialError, RaxError

_FOLDER_MODE = 0o700
_OTHERS_WRITE = 0o022
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalCredentials:
    """The folder that ``RAX_CREDENTIALS_DIR`` names, or else ``local/credentials`` of a repository.

    :raises CommandError: it is a node's, whose credentials come from the vault, or there is no
        repository here
    """

    def __init__(self) -> None:
        named = os.environ.get("RAX_CREDENTIALS_DIR")
        self._root = None if named else _laptop.find_root()
        self.path = Path(named) if named else Path(f"{self._root}/{_laptop.CREDENTIALS}")
        # The link to a generation has its status beside it.
        if self.path.resolve().is_relative_to(_laptop.NODE) or (
            _freshness.status_path(self.path).exists()
        ):
            raise CommandError(
                f"the credentials in {self.path} are the vault's: change the record there, and the"
                " next refresh brings it"
            )

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the fields of a credential, or None where there is none of that name.

        :raises CredentialNotFoundError: it is no name
        :raises CommandError: its file cannot be used as it is
        """
        _files.check_name(name)
        if not os.path.lexists(self.path / f"{name}{_files.SUFFIX}"):
            return None
        try:
            return _files.read(self.path, name).values
        except CredentialNotFoundError:
            return None
        except InsecureCredentialError as error:
            reason = str(error).partition("; ")[0]
        except RaxError as error:
            reason = str(error)
        raise CommandError(f"{reason}: remove the file, and set the credential anew") from None

    def write(self, name: str, changes: Mapping[str, Any]) -> list[str]:
        """Change these fields of a credential, or make it; return what else was done for it.

        No credential has changed where this raises.

        :raises RaxError: it would be none that ``get_credentials`` reads, git would take its file,
            or others could put one into the folder
        :raises OSError: the disk is full, for example
        """
        notes = self._make()
        notes += self._keep_from_git(name)
        descriptor = os.open(self.path, _OPEN_FOLDER)
        try:
            notes += self._close_to_others(descriptor)
            # Who changes another field of it meanwhile waits.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = _writing.encode(name, _writing.merged(self.read(name), changes))
            _writing.replace(descriptor, name, content)
        finally:
            os.close(descriptor)
        return notes

    def _make(self) -> list[str]:
        """Make the folder where it is missing; in a repository, no link leads out of it."""
        if self._root is None:
            if not self.path.is_dir():
                self.path.mkdir(_FOLDER_MODE, parents=True)
                return [f"made {self.path}"]
            return []
        for folder in (self._root / _laptop.LOCAL, self.path):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(_FOLDER_MODE)
            if folder.is_symlink() or not folder.is_dir():
                raise CommandError(
                    f"{folder} is no folder: where credentials are elsewhere, RAX_CREDENTIALS_DIR"
                    " names it"
                )
        return []

    def _close_to_others(self, descriptor: int) -> list[str]:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise CommandError(f"{self.path} belongs to the user id {status.st_uid}")
        mode = stat.S_IMODE(status.st_mode)
        if self._root is not None and mode != _FOLDER_MODE:
            os.fchmod(descriptor, _FOLDER_MODE)
            return [f"{self.path} had the mode {mode:04o} and has {_FOLDER_MODE:04o} now"]
        if mode & _OTHERS_WRITE:
            raise CommandError(f"others may write to {self.path}: chmod go-w {self.path}")
        return []

    def _keep_from_git(self, name: str) -> list[str]:
        """Make sure that git ignores the file, by a .gitignore in its folder where need be."""
        file = self.path / f"{name}{_files.SUFFIX}"
        if not any((folder / ".git").exists() for folder in self.path.resolve().parents):
            return []
        if self._git("ls-files", "--error-unmatch", "--", file.name) == 0:
            raise CommandError(
                f"{file} is in git: take it out (git rm --cached), and have its password changed"
            )
        if self._is_ignored(file):
            return []
        if self._root is None:
            raise CommandError(f"git would take {file}: name its folder in a .gitignore first")
        # In the folder itself, so that no file that people have changed is written to.
        ignored = self._root / _laptop.LOCAL / ".gitignore"
        with contextlib.suppress(FileExistsError), ignored.open("x") as output:
            output.write("*\n")
        if not self._is_ignored(file):
            raise CommandError(
                f"git would take {file}: add the line /{_laptop.LOCAL}/ to .gitignore"
            )
        return [f"made {ignored}, by which git ignores all that is beside it"]

    def _is_ignored(self, file: Path) -> bool:
        return self._git("check-ignore", "--quiet", "--", file.name) == 0

    def _git(self, *command: str) -> int:
        """Return the exit code of git in the folder: 0 is yes, and 1 is no."""
        done = git(self.path, *command)
        if done.returncode not in (0, 1):
            raise CommandError(f"git cannot say what it takes: {os.fsdecode(done.stderr).strip()}")
        return done.returncode
