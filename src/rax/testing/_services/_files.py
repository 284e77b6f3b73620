# SPDX-License-Identifier: Apache-2.0
"""The files of a case, below the folder where its tasks begin."""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from rax.errors import ServiceError
from rax.testing._outputs import Captured

MAX_FILE_BYTES: Final = 16 * 2**20
_FILE_MODE = 0o644
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Files:
    """A folder that begins with the files that are given.

    :param folder: it is there, and stays the same: processes may have it as their current one
    :param given: the path of each below it, and where it is copied from
    """

    def __init__(self, folder: Path, given: Mapping[str, Path]) -> None:
        self.folder = folder
        self._given = given

    def start(self) -> None:
        """Copy the files.

        :raises ServiceError: one of them cannot be copied
        """
        for path, source in self._given.items():
            self.put(path, source)

    def stop(self) -> None:
        """Remove all that is in the folder."""
        for entry in os.scandir(self.folder):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108 - of an entry

    def close(self) -> None:
        """Hold nothing."""

    def credentials(self) -> dict[str, dict[str, Any]]:
        """Return none: no credential leads to files."""
        return {}

    def put(self, path: str, source: Path | None) -> None:
        """Copy a file to its place, or remove the one that is there where the source is None.

        :raises ServiceError: it leads out of the folder, or the source cannot be read
        """
        target = self._place(path)
        if target is None:
            raise ServiceError(f"{path} is not below the folder of the case")
        try:
            if source is None:
                target.unlink()
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            # A file that is replaced may be open, and a link would be written through.
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
            target.chmod(_FILE_MODE)
        except OSError as error:
            what = path if source is None else f"{source}, given as {path},"
            raise ServiceError(f"{what} {_reason(error)}") from None

    def read(self, path: str) -> Captured:
        """Return what a file holds; a link that leads out of the folder is not followed."""
        place = self._place(path)
        if place is None:
            return Captured(error=f"{path} is not below the folder of the case")
        real = place.resolve()
        if not real.is_relative_to(self.folder.resolve()):
            return Captured(error=f"{path} is a link out of the folder of the case")
        try:
            descriptor = os.open(real, _OPEN)
        except (FileNotFoundError, NotADirectoryError):
            return Captured()
        except OSError as error:
            return Captured(error=f"{path} {_reason(error)}")
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Captured(error=f"{path} is no regular file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > MAX_FILE_BYTES:
            return Captured(error=f"{path} holds more than {MAX_FILE_BYTES // 2**20} MiB")
        return Captured(content)

    def _place(self, path: str) -> Path | None:
        """Return where a file is, None where that is outside of the folder."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            return None
        place = self.folder / pure
        # The last part may be a link that is replaced; what is above must not lead out.
        inside = place.parent.resolve().is_relative_to(self.folder.resolve())
        return place if inside else None


def _remove(folder: str) -> None:
    try:
        shutil.rmtree(folder)
    except PermissionError:
        # A task may close a folder to its own account, too.
        os.chmod(folder, 0o700)  # noqa: PTH101 - of an entry
        for path, folders, _files in os.walk(folder):
            for name in folders:
                if not os.path.islink(f"{path}/{name}"):  # noqa: PTH114 - of a walk
                    os.chmod(f"{path}/{name}", 0o700)  # noqa: PTH101 - of a walk
        shutil.rmtree(folder)


def _reason(error: OSError) -> str:
    return f"cannot be used: {error.strerror}"
