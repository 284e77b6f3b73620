# SPDX-License-Identifier: Apache-2.0
"""What must not leave this node: the secrets of its credentials, however a text writes them."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rax import _credential_files, _masking
from rax._masking import secret_values, spellings
from rax.alerting._cut_secrets import MASK, without_parts
from rax.alerting._plain import as_json
from rax.credentials import Credential
from rax.errors import RaxError

# Shorter ones would mask ordinary words; Airflow's own masker has the same rule.
_SHORTEST = 5


def read_credential(name: str) -> Credential:
    """Return a credential of any age: a stale routing key is better than no alert.

    Not by get_credentials(), which would tell a task's supervisor all that this node has.
    """
    return Credential(name, _credential_files.read(_credential_files.directory(), name).values)


def hide(value: Any) -> Any:
    """Return what JSON can hold with *** for each secret of this node.

    Airflow's masker, where it is loaded, also knows those that the process had before a rotation.
    """
    found = _occurring(spelled(_credentials()), as_json(value))
    return masked(_redacted(value), found)


def spelled(credentials: Iterable[Credential]) -> list[str]:
    """Return the secrets of credentials, in all the ways that texts have them, longest first."""
    found = {
        spelling.encode("utf-8", "replace").decode()
        for credential in credentials
        for secret in secret_values(credential)
        if len(secret) >= _SHORTEST
        for spelling in spellings(secret)
    }
    return sorted(found, key=len, reverse=True)


def masked(value: Any, secrets: list[str]) -> Any:
    """Return what JSON can hold with *** for the secrets, and for what a cut has left of one."""
    if isinstance(value, dict):
        return {masked(key, secrets): masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, secrets) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = without_parts(text, secrets)
    return value if text == str(value) else text


def _credentials() -> Iterator[Credential]:
    with contextlib.suppress(RaxError):
        for name in _credential_files.names(_credential_files.directory()):
            # What this account cannot read, it cannot have put into an event either.
            with contextlib.suppress(RaxError):
                yield read_credential(name)


def _occurring(secrets: list[str], text: str) -> list[str]:
    """Return those that may occur: thousands are looked for in one pass, by beginning and end."""
    escaped = {secret: as_json(secret)[1:-1] for secret in secrets}
    ends = {secret: (form[:_SHORTEST], form[-_SHORTEST:]) for secret, form in escaped.items()}
    wanted = {end for pair in ends.values() for end in pair}
    seen = {
        part for index in range(len(text)) if (part := text[index : index + _SHORTEST]) in wanted
    }
    return [secret for secret, pair in ends.items() if not seen.isdisjoint(pair)]


def _redacted(value: Any) -> Any:
    for name in _masking.MASKERS:
        with contextlib.suppress(Exception):
            masker = sys.modules[name]
            value = _redacted_by(masker.redact, value)
    return value


def _redacted_by(redact: Any, value: Any) -> Any:
    """Redact texts one by one: a masker hides what is beneath some keys, whatever it is."""
    if isinstance(value, dict):
        return {redact(key): _redacted_by(redact, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted_by(redact, item) for item in value]
    return redact(value) if isinstance(value, str) else value
