# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files whose content is made by a filter of git's, such as LFS, which this git does not have.

Without its filter, a file is published as what stands for its content: a pointer to it, or the
encrypted content. What is such a file is seen in it, whether the attributes say so or not; of
filters that are not known, the attributes alone tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from airflow_dag_sync.files import temporary
from airflow_dag_sync.git import Git
from airflow_dag_sync.text import summarize

# A pointer of LFS is shorter than this.
MAX_POINTER_BYTES = 1024
LFS_POINTER = re.compile(
    rb"version https://(git-lfs|hawser)\.github\.com/spec/v\d+\r?\n"
    rb"(.*\n)*oid sha256:[0-9a-f]{64}\r?\n(.*\n)*size \d+\r?\n?(.*\n)*"
)
GIT_CRYPT = b"\0GITCRYPT\0"
# What these leave of a file is seen in it.
SEEN_FILTERS = re.compile(r"lfs|git-crypt(-.*)?")
# These change what is committed, and nothing that is checked out.
CLEANING_FILTERS = {"nbstripout"}
NO_FILTER = {"unspecified", "unset", "set"}


def content_problem(git: Git, release: Path, paths: Iterable[str]) -> str | None:
    """Say which files among these paths of a release are such files.

    The release is one that has just been compared with its commit.
    """
    files = [path for path in paths if is_file(release / path)]
    names = filters(git, release, files)
    found: dict[str, list[str]] = {}
    for path in files:
        if kind := kind_of(release / path):
            found.setdefault(f"files {kind}", []).append(path)
        elif path in names:
            found.setdefault(f"files with the filter {names[path]}", []).append(path)
    if not found:
        return None
    kinds = (f"{kind} are not supported ({summarize(files)})" for kind, files in found.items())
    return f"{'; '.join(kinds)}; those to be left as they are belong in dag_sync_gate_exclude"


def is_file(path: Path) -> bool:
    """Whether this is a file, and not a link to one."""
    return path.is_file() and not path.is_symlink()


def kind_of(path: Path) -> str | None:
    """Say what a file's content stands for, if it is not the content itself."""
    with path.open("rb") as file:
        head = file.read(MAX_POINTER_BYTES)
    if head.startswith(GIT_CRYPT):
        return "encrypted by git-crypt"
    return "in git LFS" if LFS_POINTER.fullmatch(head) else None


def filters(git: Git, release: Path, paths: list[str]) -> dict[str, str]:
    """Ask git which filters the attributes give to these paths of a release."""
    if not paths:
        return {}
    listing = git(
        *("check-attr", "-z", "--stdin", "filter"),
        stdin="\0".join(paths),
        GIT_WORK_TREE=release,
        GIT_INDEX_FILE=temporary(release.parent),
    ).split("\0")
    values = zip(listing[::3], listing[2::3], strict=False)
    return {
        path: name
        for path, name in values
        if name not in NO_FILTER | CLEANING_FILTERS and not SEEN_FILTERS.fullmatch(name)
    }
