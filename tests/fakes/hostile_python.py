#!/usr/bin/python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter of a hostile node: it runs what Ansible sends, and answers what it likes.

Beside this file, answers.json maps the names of modules, or "*" for all of them, to what their
answers are overlaid with; {"__raw__": text} is an answer for which nothing is run, and
{"__seconds__": n} is how long it takes. What it is sent is noted in seen.log. "command" is also
what programs of Python print that Ansible runs without sending a module.

Under the name of sh it is the shell of a hostile node, for what is asked of another interpreter.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

# A node has a link to it in the place of /usr/bin/python3, and in its first line the real one.
HERE = Path(__file__).resolve().parent
REAL = os.path.realpath(sys.executable)
IS_SHELL = Path(__file__).name == "sh"


def overlaid(answer, overlay):
    """Return an answer with what an overlay says instead, mappings merged."""
    if not (isinstance(answer, dict) and isinstance(overlay, dict)):
        return overlay
    return answer | {key: overlaid(answer.get(key), value) for key, value in overlay.items()}


def said_instead():
    """Return what is printed in the place of the program that the arguments name, or None."""
    # Ansible has the shell of a node do more than run programs.
    if IS_SHELL and "python3 -c" not in sys.argv[-1]:
        return None
    try:
        return json.loads((HERE / "answers.json").read_text()).get("command")
    except (OSError, ValueError):
        # Another account's program may not read it, and it may be half-written.
        return None


def main():
    """Run what came, with another answer."""
    if len(sys.argv) > 1 or sys.stdin.isatty():
        said = said_instead()
        if said is None:
            # By its first argument, Python knows of which environment it is.
            os.execv("/bin/sh" if IS_SHELL else REAL, sys.argv)  # noqa: S606 - this is that program
        sys.stderr.write(said.get("stderr", ""))
        sys.stdout.write(said.get("stdout", ""))
        return 0
    program = sys.stdin.buffer.read()
    module = re.search(rb"module_fqn\s*=\s*'[\w.]*?(\w+)'", program)
    name = module[1].decode() if module else ""
    with (HERE / "seen.log").open("a") as seen:
        seen.write(f"{name}\n")
    answers = json.loads((HERE / "answers.json").read_text())
    overlays = (answers.get("*", {}), answers.get(name, {}))
    for overlay in overlays:
        if "__raw__" in overlay:
            sys.stdout.write(overlay["__raw__"])
            return 0
    done = subprocess.run([REAL], input=program, capture_output=True, check=False)
    sys.stderr.buffer.write(done.stderr)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        sys.stdout.buffer.write(done.stdout)
        return done.returncode
    for overlay in overlays:
        answer = overlaid(answer, overlay)
    time.sleep(answer.pop("__seconds__", 0))
    sys.stdout.write(json.dumps(answer))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
