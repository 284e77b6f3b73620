#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack files of a folder into an archive whose bytes depend on their content alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: source_archive
short_description: Packs files into an archive whose bytes depend on their content alone
version_added: 0.1.0
description:
  - Makes a gzipped tar archive of some paths below a folder. Times, owners and the order of
    the directory do not count, so the same content always gives the same archive, and its
    checksum can name what is deployed.
  - Compiled Python files and hidden files are left out. Symbolic links are kept as links.
options:
  root:
    description: The folder that the paths are relative to.
    type: path
    required: true
  paths:
    description: Files and folders to pack.
    type: list
    elements: str
    required: true
  prefix:
    description: Folder that the archive unpacks into.
    type: str
    required: true
  name:
    description: First part of the archive's name.
    type: str
    required: true
  dest_directory:
    description: Where to write the archive, as C(NAME-CHECKSUM.tar.gz).
    type: path
    required: true
attributes:
  check_mode:
    description: Returns the checksum and path, writes nothing.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Pack the library
  caspian.airflow.source_archive:
    root: "{{ playbook_dir }}/.."
    paths: [pyproject.toml, src]
    prefix: rax
    name: rax
    dest_directory: ~/.cache/caspian-deploy
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
checksum:
  description: SHA-256 of the packed names, modes and contents.
  type: str
  returned: success
path:
  description: The archive.
  type: str
  returned: success
"""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


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


def main() -> None:
    """Write the archive."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "paths": {"type": "list", "elements": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "dest_directory": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        content = archive(
            Path(module.params["root"]), module.params["paths"], module.params["prefix"]
        )
    except OSError as error:
        module.fail_json(msg=f"Can't pack {module.params['root']}: {error}")
    checksum = hashlib.sha256(content).hexdigest()
    directory = Path(module.params["dest_directory"])
    target = directory / f"{module.params['name']}-{checksum[:16]}.tar.gz"
    missing = not target.exists()
    if missing and not module.check_mode:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            aside = directory / f".{target.name}.{os.getpid()}"
            # The checksum is of what is packed, since gzip's output differs by version of zlib.
            aside.write_bytes(gzip.compress(content, mtime=0))
            aside.replace(target)
        except OSError as error:
            module.fail_json(msg=f"Can't write {target}: {error}")
    # It is a cache on the controller: writing it changes nothing that anybody deployed.
    module.exit_json(changed=False, checksum=checksum, path=str(target))


if __name__ == "__main__":
    main()
