# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a .kdbx vault unless it is there, and give it the entries that standard input has.

usage: make_vault.py PATH < {"password": "...", "entries": [{"title", "user", "pass", "host",
"properties": {}}, ...]}

Prints "changed" when it wrote the vault.
"""

import json
import os
import sys
from pathlib import Path

from pykeepass import PyKeePass, create_database


def main() -> None:
    """Create or update the vault."""
    os.umask(0o077)
    path = Path(sys.argv[1])
    wanted = json.load(sys.stdin)
    changed = not path.exists()
    if changed:
        vault = create_database(str(path), password=wanted["password"])
    else:
        vault = PyKeePass(str(path), password=wanted["password"])
    for entry in wanted["entries"]:
        found = vault.find_entries(title=entry["title"], first=True)
        if found is None:
            found = vault.add_entry(vault.root_group, entry["title"], entry["user"], entry["pass"])
            changed = True
        properties = {"host": entry["host"], **entry.get("properties", {})}
        if (found.username, found.password) != (entry["user"], entry["pass"]):
            found.username, found.password = entry["user"], entry["pass"]
            changed = True
        for name, value in properties.items():
            if found.get_custom_property(name) != value:
                found.set_custom_property(name, value)
                changed = True
    if changed:
        vault.save()
        print("changed")


if __name__ == "__main__":
    main()
