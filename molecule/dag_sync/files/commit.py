"""Commit as the author of the DAGs does, push, and print the commit.

Standard input is JSON: {"clone": path, "files": {path: content, or null to remove it},
"git": {variable of git's configuration: value}, "push": [arguments]}
"""

import json
import subprocess
import sys
from pathlib import Path

asked = json.load(sys.stdin)
clone = Path(asked["clone"])


def git(*arguments):
    options = [word for item in asked["git"].items() for word in ("-c", "=".join(item))]
    return subprocess.run(
        ["git", *options, *arguments], cwd=clone, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


for name, content in asked["files"].items():
    file = clone / name
    if content is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
git("add", "--all")
git("commit", "--quiet", "--allow-empty", "--message", "A change")
git("push", "--quiet", *asked["push"])
sys.stdout.write(git("rev-parse", "HEAD") + "\n")
