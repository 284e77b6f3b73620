# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of files whose bytes depend on their content alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

# So much of a checksum names an archive.
DIGEST_CHARACTERS = 16


class PackError(Exception):
    """What keeps an archive from being made; the message says which file."""


def members(root: Path, paths: list[str]) -> list[Path]:
    """Return the files and links below the paths, relative to root, in a stable order.

    Raises FileNotFoundError for a path that is not there.
    """
    found: set[Path] = set()
    for path in (root / name for name in paths):
        if path.is_symlink() or path.is_file():
            found.add(path.relative_to(root))
            continue
        if not path.is_dir():
            raise FileNotFoundError(str(path))
        for folder, folders, files in os.walk(path):
            linked = [name for name in folders if Path(folder, name).is_symlink()]
            folders[:] = [name for name in folders if keep(name) and name not in linked]
            found.update(
                Path(folder, name).relative_to(root) for name in files + linked if keep(name)
            )
    return sorted(found)


def keep(name: str) -> bool:
    """Return whether a file or folder of this name belongs in an archive of sources."""
    return not (name.startswith(".") or name == "__pycache__" or name.endswith(".pyc"))


def archive(root: Path, paths: list[str], prefix: str) -> bytes:
    """Return a tar archive that depends on names, contents and run bits alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in members(root, paths):
            info = tar.gettarinfo(str(root / name), arcname=f"{prefix}/{name}")
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mtime = 0
            info.mode = 0o755 if info.mode & 0o100 else 0o644
            if info.isfile():
                with (root / name).open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    return packed.getvalue()


def pack(
    root: Path, paths: list[str], prefix: str, name: str, dest_directory: Path, *, write: bool
) -> tuple[str, Path]:
    """Return the checksum of what the paths hold, and the archive, which is written if it may be.

    Raises PackError.
    """
    try:
        content = archive(root, paths, prefix)
    except OSError as error:
        raise PackError(f"Can't pack {root}: {error}") from None
    checksum = hashlib.sha256(content).hexdigest()
    target = dest_directory / f"{name}-{checksum[:DIGEST_CHARACTERS]}.tar.gz"
    if write and not target.exists():
        try:
            dest_directory.mkdir(parents=True, exist_ok=True)
            aside = dest_directory / f".{target.name}.{os.getpid()}"
            # The checksum is of what is packed, since gzip's output differs by version of zlib.
            aside.write_bytes(gzip.compress(content, mtime=0))
            aside.replace(target)
        except OSError as error:
            raise PackError(f"Can't write {target}: {error}") from None
    return checksum, target
