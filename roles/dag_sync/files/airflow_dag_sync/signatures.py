# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has signed a commit, or the tag of it that is followed."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from airflow_dag_sync.errors import BlockedError, GitError, MisconfiguredError
from airflow_dag_sync.git import Git
from airflow_dag_sync.repository import Repository
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.urls import is_named


def signers_fingerprint(settings: Settings) -> int | None:
    """Return a mark of the allowed signers; None: everybody is."""
    files = (settings.allowed_signers, settings.openpgp_keys)
    texts = [Path(file).read_bytes() if file else b"" for file in files]
    return zlib.crc32(b"\0".join(texts)) if settings.signed else None


def require_signature(
    repository: Repository, settings: Settings, sha: str, refname: str | None, home: Path
) -> str | None:
    """Refuse a commit when nobody allowed has signed it, nor the tag that is followed.

    `home` becomes the folder of the keyring. Returns the ref of the tag when it is the tag alone
    that is signed; raises BlockedError.
    """
    home.mkdir(mode=0o700)
    import_openpgp_keys(repository.git, settings.openpgp_keys, home)
    signers = settings.allowed_signers or os.devnull
    if not (why := problem(repository.git, "verify-commit", sha, signers, home)):
        return None
    for tag, name in tags_of(repository, sha, refname, settings.ref):
        if not problem(repository.git, "verify-tag", tag, signers, home):
            return name
    raise BlockedError(sha, f"none of the allowed signers has signed it: {why}")


def problem(git: Git, command: str, name: str, signers: str, home: Path) -> str | None:
    """Say why git does not verify a commit or a tag, if it does not."""
    option = ("-c", f"gpg.ssh.allowedSignersFile={signers}")
    words = ("git", *git.options, *option, command, name)
    try:
        git.run(*words, name=command, GNUPGHOME=home)
    except GitError as error:
        silent = str(error) == f"{command} ended with 1"
        return "it has no signature" if silent else str(error)
    return None


def import_openpgp_keys(git: Git, keys: str, home: Path) -> None:
    """Make a keyring of the allowed keys alone."""
    if not keys:
        return
    # The old format of a keyring needs no agent, whose socket has no room in a long path.
    ring = ("--output", str(home / "pubring.gpg"), "--dearmor", keys)
    words = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--no-autostart", *ring)
    try:
        git.run(*words, name="gpg --dearmor")
    except GitError as error:
        raise MisconfiguredError(f"'openpgp_keys' {keys}: {error}") from None


def tags_of(
    repository: Repository, sha: str, refname: str | None, ref: str
) -> list[tuple[str, str]]:
    """List the tag objects of a commit that the followed ref names, and their refs.

    A tag object counts under its own name alone: else a signed tag could be pushed again under
    another, newer name.
    """
    if refname:
        names, pattern = "refs/sync/tip", refname
    else:
        # The command `fetch` is given the commit alone.
        names, pattern = "refs/sync/tags", ref
        repository.fetch(repository.url, "+refs/tags/*:refs/sync/tags/*")
    form = "--format=%(objectname) %(tag)"
    listing = repository.git("for-each-ref", f"--points-at={sha}", form, names)
    tags = [line.partition(" ") for line in listing.splitlines()]
    found = [(tag, f"refs/tags/{name}") for tag, _blank, name in tags if name]
    return [(tag, name) for tag, name in found if is_named(name, pattern)]
