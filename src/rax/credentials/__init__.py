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

Every call looks at the file, so that a process of any age gets the newest password; what was read
serves until the file changes. In a process that has loaded Airflow, its secrets masker is given the
password, so that the log of a task that prints it has ``***``. A process that the task forks cannot
reach the supervisor, which writes that log: ask for the credential in the task itself first.

Settings:

``RAX_CREDENTIALS_DIR``
    another directory than ``/etc/airflow/credentials``
``RAX_CREDENTIALS_MAX_AGE``
    how long ago the vault may have confirmed a credential: seconds, or ``90m``, ``12h``, ``7d``;
    0 or nothing is no limit
``RAX_CREDENTIALS_STALE``
    what happens to an older one: ``raise`` a StaleCredentialError (the default), or ``warn``
"""

from rax.credentials import _files
from rax.credentials._connections import connection_fields
from rax.credentials._credential import Credential, get_credentials
from rax.credentials._masking import secret_values

__all__ = [
    "Credential",
    "connection_fields",
    "credential_age",
    "get_credentials",
    "list_credentials",
    "secret_values",
]


def list_credentials() -> list[str]:
    """Return the names of the credentials that this node has, sorted.

    Raises CredentialNotFoundError when there is no directory of credentials, and
    UnreadableCredentialError when it cannot be listed.
    """
    return _files.names(_files.directory())


def credential_age(name: str) -> float | None:
    """Return how many seconds ago the vault last confirmed a credential.

    None means that it is unknown: the refresh's status file, ``<directory>.status.json``, is not
    there, damaged, not to be read or not to be trusted, does not have the name, or has a time that
    is still to come. Whether the credential itself can be read makes no difference.
    """
    from rax.credentials import _freshness

    _files.check_name(name)
    return _freshness.age(_files.directory(), name)
