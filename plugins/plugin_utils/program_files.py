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
"""{package} of commit {version}; its modules are in {folder}."""

import sys

sys.path.insert(0, "{folder}")

from {package}.__main__ import main

if __name__ == "__main__":
    sys.exit(main("{version}"))
'''


def program_files(
    source: Path, library: str, launcher: str, interpreter: str
) -> list[dict[str, Any]]:
    """Return the entries of module `files` for the package in the folder `source`.

    library: the folder on the node that has a folder for each version
    launcher: the file on the node that runs the version in use
    interpreter: what runs the launcher, with its options
    """
    modules = {path.name: path.read_text(encoding="utf-8") for path in source.glob("*.py")}
    content = json.dumps(modules, sort_keys=True).encode()
    folder = f"{library}/{hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]}"
    package = source.name
    directories = (library, folder, f"{folder}/{package}")
    text = LAUNCHER.format(
        interpreter=interpreter, package=package, version=version(source), folder=folder
    )
    return [
        *({"path": path, "state": "directory", "mode": "0755"} for path in directories),
        *(
            {"path": f"{folder}/{package}/{name}", "content": modules[name], "mode": "0644"}
            for name in sorted(modules)
        ),
        {"path": launcher, "content": text, "mode": "0755"},
    ]


def version(source: Path) -> str:
    """Return the commit that has changed a folder last, or that this is not known.

    It is not where the collection was installed from an archive.
    """
    words = ["git", "-C", str(source), "log", "-1", "--format=%H", "--", "."]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - the git of the controller
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
