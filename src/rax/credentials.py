# SPDX-License-Identifier: Apache-2.0
"""The credentials of this node, read from the files that the vault's refresh has locked.

>>> from rax.credentials import get_credentials, list_credentials
>>> list_credentials()
['EBI-ETL-DEV-01']
>>> credential = get_credentials("EBI-ETL-DEV-01")
>>> credential["user"], credential["host"], credential["metadata"]["port"]
('etl', 'db.example.com', 5432)

Its password is a plain string, but what prints a credential does not print it:

>>> print(f"connecting with {credential}")
connecting with Credential('EBI-ETL-DEV-01', user='etl', host='db.example.com', pass='***')

Every call reads the file, so that a process of any age gets the newest password.
``RAX_CREDENTIALS_DIR`` names another directory than ``/etc/airflow/credentials``.
"""

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rax.errors import CredentialNotFoundError, InsecureCredentialError, MalformedCredentialError

__all__ = ["Credential", "get_credentials", "list_credentials"]

_DEFAULT_DIRECTORY = "/etc/airflow/credentials"
# A safe file name, as the module that writes the files has it.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FIELDS = ("user", "pass", "host", "url", "description", "metadata")
# How often one looks at a directory that is replaced meanwhile.
_ATTEMPTS = 5


class Credential(Mapping[str, Any]):
    """An immutable mapping with the keys user, pass, host, url, description and metadata.

    A pickle of it holds its name alone, and reads the file again where it is loaded.
    """

    __slots__ = ("_values", "name")

    name: str

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        """Hold a copy of the values; get_credentials() has checked them."""
        self.name = name
        self._values = {**values, "metadata": MappingProxyType(dict(values["metadata"]))}

    def __getitem__(self, key: str) -> Any:
        """Return one field."""
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self._values)

    def __repr__(self) -> str:
        """Name the credential; url, description and metadata may hold secrets too."""
        user, host = self["user"], self["host"]
        return f"Credential({self.name!r}, user={user!r}, host={host!r}, pass='***')"

    def __copy__(self) -> "Credential":
        """Return itself: it cannot change."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Credential":
        """Return itself: it cannot change."""
        return self

    def __reduce__(self) -> tuple[Callable[[str], "Credential"], tuple[str]]:
        """Pickle the name alone."""
        return get_credentials, (self.name,)


def get_credentials(name: str) -> Credential:
    """Return the newest credential of that name.

    >>> get_credentials("EBI-ETL-DEV-1")
    Traceback (most recent call last):
        ...
    rax.errors.CredentialNotFoundError: no credential 'EBI-ETL-DEV-1' in ...: \
it has EBI-ETL-DEV-01
    """
    directory = _directory()
    if not _NAME.fullmatch(name):
        raise CredentialNotFoundError(f"{name!r} is not the name of a credential")
    # Nothing that this frame holds when it raises has the file's content in it, and no
    # JSONDecodeError, which keeps the whole document, becomes the context of the error.
    values, problem = _parse(_read(directory, name))
    if values is None:
        raise MalformedCredentialError(f"{directory / name}.json: {problem}")
    return Credential(name, values)


def list_credentials() -> list[str]:
    """Return the names of the credentials that this node has, sorted."""
    directory = _directory()
    try:
        files = _list(directory)
    except OSError as error:
        raise CredentialNotFoundError(f"{directory}: {error.strerror}{_advice(error)}") from None
    names = (file.removesuffix(".json") for file in files if file.endswith(".json"))
    return sorted(filter(_NAME.fullmatch, names))


def _directory() -> Path:
    return Path(os.environ.get("RAX_CREDENTIALS_DIR") or _DEFAULT_DIRECTORY)


def _read(directory: Path, name: str) -> bytes:
    """Read the file through one descriptor, which is checked before it is read."""
    path = directory / f"{name}.json"
    try:
        descriptor = _open(directory, name)
    except FileNotFoundError:
        raise CredentialNotFoundError(
            f"no credential {name!r} in {directory}: {_available()}"
        ) from None
    except OSError as error:
        # ELOOP of a link, ENXIO of a socket.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise InsecureCredentialError(f"{path}: is not a regular file") from None
        raise CredentialNotFoundError(f"{path}: {error.strerror}{_advice(error)}") from None
    try:
        problem = _insecure(os.fstat(descriptor))
        if problem:
            raise InsecureCredentialError(f"{path}: {problem}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


# A refresh replaces the whole directory, and removes the one before. Whoever has just resolved
# the link to that one may find it gone, or emptied, and looks again.


def _open(directory: Path, name: str) -> int:
    """Open the file in the directory that is published now."""
    # O_NONBLOCK: opening a FIFO would wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(_ATTEMPTS):
        folder = _open_directory(directory)
        try:
            return os.open(f"{name}.json", flags, dir_fd=folder)
        except FileNotFoundError:
            if _is_published(folder, directory):
                raise
        finally:
            os.close(folder)
    raise FileNotFoundError(errno.ENOENT, "is replaced all the time")


def _list(directory: Path) -> list[str]:
    """List the files of the directory that is published now."""
    for _ in range(_ATTEMPTS):
        folder = _open_directory(directory)
        try:
            files = os.listdir(folder)  # noqa: PTH208 - of a descriptor
            if _is_published(folder, directory):
                return files
        finally:
            os.close(folder)
    raise FileNotFoundError(errno.ENOENT, "is replaced all the time")


def _open_directory(directory: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError):
            return os.open(directory, flags)
    return os.open(directory, flags)


def _is_published(folder: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(folder), directory.stat())
    except FileNotFoundError:
        return False


def _insecure(status: os.stat_result) -> str | None:
    """Say what is wrong with the file: the rule of libpq for private keys."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid == 0:
        allowed = 0o640
    elif status.st_uid == os.geteuid():
        allowed = 0o600
    else:
        return f"belongs to the user id {status.st_uid}, neither to root nor to this process"
    if mode & ~allowed:
        return f"has the mode {mode:04o}, wider than {allowed:04o}; refresh the credentials"
    return None


def _parse(content: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return the fields, or None and what is wrong, without a word of the content."""
    try:
        document = json.loads(content)
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    except json.JSONDecodeError as error:
        return None, f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    if not isinstance(document, dict):
        return None, "is not a JSON object"
    for key in _FIELDS:
        kind, article = (dict, "an object") if key == "metadata" else (str, "a string")
        if key not in document:
            return None, f"{key} is missing"
        if not isinstance(document[key], kind):
            return None, f"{key} is not {article}"
    return {key: document[key] for key in _FIELDS}, ""


def _available() -> str:
    names = list_credentials()
    if not names:
        return "it is empty"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"it has {', '.join(names[:20])}{more}"


def _advice(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return " (tasks run as the user airflow; a person must be in its group)"
    if isinstance(error, FileNotFoundError):
        return " (has refresh_credentials.yml run for this node?)"
    return ""
