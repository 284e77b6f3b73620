# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has of a program that is a Python package of a role.

The modules lie in a folder that is named after their content, and a launcher, which is written
last, names the folder. So whatever runs the program while another version is installed finds all
of one version; the modules can be read where they are, and check mode can show what differs.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

DIGEST_CHARACTERS = 16
LAUNCHER = '''\
#!{interpreter}
"""Runs {package}, whose modules are in a folder that is named after their content."""

import sys
from pathlib import Path

FOLDER = "{folder}"
sys.path.insert(0, FOLDER)

from {package}.__main__ import main

if __name__ == "__main__":
    commit = Path(FOLDER, "commit")
    sys.exit(main(commit.read_text().strip() if commit.exists() else "of an unknown commit"))
'''


def program_files(
    source: Path, library: str, launcher: str, interpreter: str
) -> list[dict[str, Any]]:
    """Return the entries of module `files` for the package in the folder `source`.

    library: the folder on the node that has a folder for each version
    launcher: the file on the node that runs the version in use
    interpreter: what runs the launcher, with its options
    """
    modules = {
        str(path.relative_to(source)): path.read_text(encoding="utf-8")
        for path in source.rglob("*.py")
    }
    content = json.dumps(modules, sort_keys=True).encode()
    folder = f"{library}/{hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]}"
    package = source.name
    inner = {str(parent) for name in modules for parent in [*Path(name).parents][:-1]}
    packages = [f"{folder}/{package}", *(f"{folder}/{package}/{name}" for name in sorted(inner))]
    directories = (library, folder, *packages)
    contents = {f"{folder}/{package}/{name}": modules[name] for name in sorted(modules)}
    if commit := commit_of(source):
        contents[f"{folder}/commit"] = f"{commit}\n"
    text = LAUNCHER.format(interpreter=interpreter, package=package, folder=folder)
    return [
        *({"path": path, "state": "directory", "mode": "0755"} for path in directories),
        *({"path": path, "content": contents[path], "mode": "0644"} for path in contents),
        {"path": launcher, "content": text, "mode": "0755"},
    ]


def commit_of(source: Path) -> str:
    """Return the commit that has changed a folder last, or nothing if that is not known.

    It is not where the collection was installed from an archive. A node then keeps what an earlier
    deployment of the same modules has said.
    """
    words = ["git", "-C", str(source), "log", "-1", "--format=%H", "--", "."]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - the git of the controller
    except OSError:
        return ""
    return done.stdout.strip()
