# SPDX-License-Identifier: Apache-2.0
"""Which deployment a new repository names in its ``rax.toml``."""

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from rax._git import git
from rax._laptop import marked_root
from rax.checking._settings import Settings
from rax.errors import CommandError

# That of Debian 12, the older of the two that nodes have.
PYTHON = "3.11"
_MAX_ADDRESS_CHARACTERS = 1000
# What ./rax takes, and in words; the wrapper has the same, and can import nothing.
FORMS = {
    "repository": (
        r"https://\w[^\s/@]*/\S+|ssh://(\w[\w.-]*@)?[\w[][^\s/@]*/\S+"
        r"|(\w[\w.-]*@)?\w[\w.-]*:(?!:|//)\S+|\.{0,2}/.*",
        "https://host/path without a user, ssh://host/path, user@host:path, or a path that begins"
        " with / or .",
    ),
    "ref": (r"\w[\w./+-]{0,199}", "a tag or a full commit"),
}
_FORM_OF_PYTHON = re.compile(r"3\.[0-9]{1,2}")
# Where this library is in a checkout of the deployment.
_CHECKOUT = Path(__file__).parents[3]


class Deployment(NamedTuple):
    """What the wrapper ``./rax`` needs to know."""

    # As git takes it.
    repository: str = ""
    # A tag, or a full commit.
    ref: str = ""
    python: str = ""


def deployment(given: Deployment, here: Path) -> Deployment:
    """Return what is given, and for the rest what is known here.

    Known is what the DAG repository says that this command is run for or in, or else the checkout
    that it is run from.

    :param given: what the options say; nothing where they don't
    :param here: the repository that the command is run for, or the current folder
    :raises CommandError: it is not known, or has not the form of an address, a ref or a version
    """
    known = _of_repository(here) or (_of_checkout(given) if not all(given[:2]) else Deployment())
    repository = _address(given.repository) if given.repository else known.repository
    found = Deployment(repository, given.ref or known.ref, given.python or known.python or PYTHON)
    if not found.repository or not found.ref:
        raise CommandError(
            "the deployment is not known here: give its address with --deployment, and one of its "
            "tags or a full commit with --ref"
        )
    if not _has_form("repository", found.repository):
        raise CommandError(f"--deployment has to be {FORMS['repository'][1]}")
    if not _has_form("ref", found.ref) or ".." in found.ref:
        raise CommandError(f"--ref {found.ref!r} has not the form of a tag or a commit")
    if not _FORM_OF_PYTHON.fullmatch(found.python):
        raise CommandError(f"--python {found.python!r} has not the form of a version, such as 3.11")
    return found


def _has_form(name: str, text: str) -> bool:
    return text.isprintable() and bool(re.fullmatch(FORMS[name][0], text, re.ASCII))


def _address(text: str) -> str:
    """Return an address as any folder may use it.

    :raises CommandError: it holds a password or a token, or nothing that git takes
    """
    if len(text) > _MAX_ADDRESS_CHARACTERS or not text.isprintable() or text.startswith("-"):
        raise CommandError("--deployment is no address that git takes")
    if text != _without_account(text):
        raise CommandError(
            "--deployment holds an account or a password, which rax.toml would show to everybody: "
            "leave it out, and let git's credential helper know it"
        )
    return str(Path(text).resolve()) if Path(text).is_dir() else text


def _without_account(address: str) -> str:
    """Return an address without what logs in over http, and without any password.

    >>> _without_account("https://token@git.example.org/a.git")
    'https://git.example.org/a.git'
    >>> _without_account("ssh://git@git.example.org/a.git"), _without_account("git@host:a.git")
    ('ssh://git@git.example.org/a.git', 'git@host:a.git')
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        raise CommandError("--deployment is no address that git takes") from None
    account, at, host = parts.netloc.rpartition("@")
    if not at:
        return address
    kept = "" if parts.scheme in ("http", "https") else account.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{kept}@{host}" if kept else host))


def _of_repository(here: Path) -> Deployment | None:
    root = marked_root(here)
    settings = Settings.read(root) if root else Settings()
    if root is None or not settings.repository:
        return None
    # It may be a path, which is then meant from there.
    path = root / settings.repository
    repository = str(path.resolve()) if path.is_dir() else settings.repository
    return Deployment(repository, settings.ref, settings.python)


def _of_checkout(given: Deployment) -> Deployment:
    """Return where the checkout that this library is in has come from, if any, and its commit."""
    if not (_CHECKOUT / ".git").exists() or not (_CHECKOUT / "packages").is_dir():
        return Deployment()
    address = _git("remote", "get-url", "origin")
    if address and (_CHECKOUT / address).is_dir():
        address = str((_CHECKOUT / address).resolve())
    ref = _git("describe", "--exact-match", "--tags", "HEAD") or _git("rev-parse", "HEAD")
    shared = (("tag", "--contains", "HEAD"), ("branch", "--remotes", "--contains", "HEAD"))
    if not given.ref and not any(_git(*words) for words in shared):
        raise CommandError(f"{_CHECKOUT} is at a commit that only it has: push it, or give --ref")
    return Deployment(_without_account(address), ref)


def _git(*words: str) -> str:
    """Return what git says of the checkout; nothing where it fails."""
    try:
        done = git(_CHECKOUT, *words)
    except CommandError:
        return ""
    return "" if done.returncode else os.fsdecode(done.stdout).strip()
