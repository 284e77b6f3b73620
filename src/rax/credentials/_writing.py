# SPDX-License-Identifier: Apache-2.0
"""The files of credentials that no vault brings: those of a laptop, and those of a test."""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from rax.credentials import _files
from rax.errors import MalformedCredentialError

_FILE_MODE = 0o600
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def merged(old: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a credential with these fields changed, or a new one that has them.

    Metadata is changed key by key, and a key that is None goes.
    """
    empty: dict[str, Any] = {
        "user": "",
        "pass": "",
        "host": "",
        "url": "",
        "description": "",
        "metadata": {},
    }
    # Nobody's vault protects more of it than what is secret by its key.
    start: dict[str, Any] = {**empty, _files.PROTECTED: []} if old is None else {**old}
    metadata = {**start["metadata"], **changes.get("metadata", {})}
    fields = {**start, **changes}
    fields["metadata"] = {key: value for key, value in metadata.items() if value is not None}
    return fields


def encode(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file that the reader takes.

    :raises MalformedCredentialError: it takes none of these; no value is in the message
    """
    try:
        content = f"{json.dumps(fields, indent=2)}\n".encode()
    except (TypeError, ValueError):
        content = b""
    values, problem = _files.parse(content) if content else (None, "JSON cannot hold it")
    if values is None:
        raise MalformedCredentialError(f"the credential {name} cannot be: {problem}")
    return content


def replace(folder: int, name: str, content: bytes) -> None:
    """Put a new file in the place of the one of that name, or leave all as it was.

    :param folder: a descriptor; two processes must not write the same name at once
    """
    file, new = f"{name}{_files.SUFFIX}", f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        # Of one that was killed: the folder is locked, so nobody else writes it.
        os.unlink(new, dir_fd=folder)
    try:
        descriptor = os.open(new, _CREATE, _FILE_MODE, dir_fd=folder)
        with open(descriptor, "wb") as output:  # noqa: PTH123 - of a descriptor
            # Whatever the umask leaves of it.
            os.fchmod(descriptor, _FILE_MODE)
            output.write(content)
            output.flush()
            os.fsync(descriptor)
        os.replace(new, file, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
        raise
    os.fsync(folder)
