# SPDX-License-Identifier: Apache-2.0
"""Git, which an author's machine has, asked about a folder."""

import os
import re
import subprocess
from pathlib import Path

from rax.errors import CommandError

# As long as what it says may take on a network's disk.
MAX_SECONDS = 60
# A repository's core.fsmonitor has git start a program of its choice.
_COMMAND = ("git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
# A hook of git has set these for the repository that it is of, and the folder may be in another.
_OF_A_HOOK = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIR|ALTERNATE|COMMON_DIR|PREFIX)")


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Return how git has ended in a folder, and what it said.

    :raises CommandError: it is not installed, or does not end in time
    """
    kept = {name: value for name, value in os.environ.items() if not _OF_A_HOOK.match(name)}
    try:
        return subprocess.run(  # noqa: S603 - git, with words of our own
            [*_COMMAND, *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
            env={**kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}, check=False,
            timeout=MAX_SECONDS,
        )  # fmt: skip
    except FileNotFoundError:
        raise CommandError(f"git is not installed, and is needed for {folder}") from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"git {words[0]} did not end within {MAX_SECONDS} s") from None
