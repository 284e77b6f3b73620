# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of addresses, refs and commits that are followed."""

from __future__ import annotations

import re
import shlex

FULL_SHA = re.compile(r"[0-9a-f]{40}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
URL_WITH_PASSWORD = re.compile(r"https?://[^/]*@|\w+://[^/@]*:[^/]*@|[^/@]+:[^/@]+@")
URL = re.compile(
    r"/[^\x00-\x1f]+|file:///[^\s]+"
    r"|https://(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/[^\s]+"
    r"|ssh://((?!-)[^\s/@:]+@)?(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/[^\s]+"
    r"|((?!-)[^\s/@:]+@)?(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\]):(?!:|//)[^\s@]+"
)
REF = re.compile(
    r"(?![-/.])(?!.*(\.\.|//|/\.|@\{|\.lock(/|$)))(?!@$)"
    r"(refs/tags/[^\x00-\x20\x7f~^:\[\\]+|[^\x00-\x20\x7f~^:?*\[\\]+)(?<![/.])"
)
PROXY = re.compile(r"https?://(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/?")


def is_sha(value: object) -> bool:
    """Whether this is the full name of a commit or a tree."""
    return isinstance(value, str) and FULL_SHA.fullmatch(value) is not None


def is_local(url: str) -> bool:
    """Whether a repository is a folder of this host."""
    return url.startswith(("/", "file://"))


def is_over_ssh(url: str) -> bool:
    """Whether git runs ssh for this repository."""
    return not is_local(url) and not url.startswith("https://")


def is_named(name: str, pattern: str) -> bool:
    """Whether a ref is the one that a setting names, or one that it matches."""
    from fnmatch import fnmatchcase  # It is slow to load, and seldom needed.

    return fnmatchcase(name, pattern) or name == f"refs/tags/{pattern}"


def join_url(base: str, url: str) -> str:
    """Make the URL of a submodule absolute, as git does: relative to the repository that has it."""
    if not url.startswith(("./", "../")):
        return url
    base, separator = base.rstrip("/"), "/"
    while True:
        if url.startswith("./"):
            url = url[2:]
        elif url.startswith("../"):
            url = url[3:]
            if "/" in base:
                base = base.rpartition("/")[0]
            else:  # as in git@host:team
                base, separator = base.rpartition(":")[0], ":"
        else:
            return base + separator + url


def transport_options(url: str) -> list[str]:
    """Return git's options for a repository: it refuses a local one of another account.

    Whoever wrote the settings trusts it.
    """
    if not is_local(url):
        return []
    path = shlex.quote(url.removeprefix("file://"))
    return [f"--upload-pack=git -c safe.directory={path} upload-pack"]
