# SPDX-License-Identifier: Apache-2.0
"""What is known of each credential of this node: its file, and what the last refresh noted."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rax.credentials import (
    Credential,
    _freshness,
    credential_age,
    get_credentials,
    list_credentials,
)
from rax.credentials._files import directory
from rax.errors import (
    CredentialNotFoundError,
    InsecureCredentialError,
    MalformedCredentialError,
    RaxError,
    UnreadableCredentialError,
)

# A CredentialNotFoundError may be an UnreadableCredentialError.
_KINDS = {
    InsecureCredentialError: "insecure",
    MalformedCredentialError: "malformed",
    UnreadableCredentialError: "unreadable",
    CredentialNotFoundError: "missing",
}


class Status(NamedTuple):
    """The status file that each refresh writes (docs/credentials.md, "Audit")."""

    path: Path
    # Why it could not be read, or nothing.
    problem: str
    sources: dict[str, Any]


def read_status() -> Status:
    """Read the status file; never fail, since the credentials serve without it, too."""
    path = _freshness.status_path(directory())
    try:
        return Status(path, "", _freshness.read_status(path).sources)
    except FileNotFoundError:
        problem = "does not exist, so no age is known"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except ValueError as error:
        problem = str(error)
    return Status(path, problem, {})


class State(NamedTuple):
    """What is known of one credential; None is what is not known."""

    name: str
    # Where its file can be read.
    credential: Credential | None
    # Why it cannot.
    error: RaxError | None
    # current, kept or missing, as the last refresh left it; missing, insecure, malformed or
    # unreadable, as its file is; else unknown.
    state: str
    # What is wrong, in words: the reader's, or the vault's.
    problem: str
    # Seconds since the vault, or a copy of it, last confirmed it.
    age: float | None
    # When that copy was last the same as the vault; nothing where it was the vault itself.
    copy_of: str = ""


def states(status: Status, names: Iterable[str] | None = None) -> list[State]:
    """Return what is known of these credentials, by default of all that the node has or should.

    :raises RaxError: the directory cannot be read
    """
    if names is None:
        names = sorted({*list_credentials(), *status.sources})
    return [_state(name, status.sources.get(name, {})) for name in names]


def _state(name: str, source: dict[str, Any]) -> State:
    credential, error = None, None
    try:
        # Of any age, since the age is shown and not judged here.
        credential = get_credentials(name, max_age=math.inf)
    except RaxError as found:
        error = found
    state, problem = str(source.get("state", "unknown")), str(source.get("error") or "")
    # Why a file is missing, the refresh has noted.
    if error and not (state == "missing" and problem):
        state = next((kind for of, kind in _KINDS.items() if isinstance(error, of)), "unknown")
        problem = str(error)
    return State(name, credential, error, state, problem, age(name), copy_of(name))


def age(name: str) -> float | None:
    """Return the seconds since the vault last confirmed a credential; None for an odd name, too."""
    try:
        return credential_age(name)
    except RaxError:
        return None


def copy_of(name: str) -> str:
    """Return the time of the copy of the vault that confirmed a credential last, or nothing."""
    return _freshness.copy_of(directory(), name)
