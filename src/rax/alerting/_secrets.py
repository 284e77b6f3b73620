# SPDX-License-Identifier: Apache-2.0
"""What must not leave this node: the secrets of its credentials, however a text writes them."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rax.alerting._cut_secrets import MASK, without_parts
from rax.alerting._plain import as_json
from rax.credentials import Credential, _files, _masking
from rax.credentials._masking import secret_values, spellings
from rax.errors import RaxError

# Masking shorter ones would hide ordinary words. Airflow's own masker has the same rule.
_MIN_SECRET_CHARACTERS = 5


def read_credential(name: str) -> Credential:
    """Return a credential of any age: a stale routing key is better than no alert.

    get_credentials() is not used, since it would tell a task's supervisor each secret of this node.
    """
    return Credential(name, _files.read(_files.directory(), name).values)


def hide(value: Any) -> Any:
    """Return what JSON can hold with *** for each secret of this node.

    Airflow's masker, where it is loaded, also knows those that this process read before a rotation.
    """
    found = _candidates(local_secrets(), as_json(value))
    return mask(_redact(value), found)


def local_secrets() -> list[str]:
    """Return the spellings of the secrets of all credentials that this account can read here."""
    return secret_spellings(_credentials())


def secret_spellings(credentials: Iterable[Credential]) -> list[str]:
    """Return the secrets of credentials, in all the ways that texts have them, longest first."""
    found = {
        spelling.encode("utf-8", "replace").decode()
        for credential in credentials
        for secret in secret_values(credential)
        if len(secret) >= _MIN_SECRET_CHARACTERS
        for spelling in spellings(secret)
    }
    return sorted(found, key=len, reverse=True)


def mask(value: Any, secrets: list[str]) -> Any:
    """Return what JSON can hold with *** for the secrets, and for what a cut has left of one."""
    if isinstance(value, dict):
        return {mask(key, secrets): mask(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item, secrets) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = without_parts(text, secrets)
    return value if text == str(value) else text


def _credentials() -> Iterator[Credential]:
    with contextlib.suppress(RaxError):
        for name in _files.names(_files.directory()):
            # A credential that this account cannot read cannot be in its events either.
            with contextlib.suppress(RaxError):
                yield read_credential(name)


def _candidates(secrets: list[str], text: str) -> list[str]:
    """Return the secrets that may occur in a text, by the beginning or the end of each.

    A node has thousands of spellings, and one pass over the text finds these for all of them.
    """
    size = _MIN_SECRET_CHARACTERS
    escaped = {secret: as_json(secret)[1:-1] for secret in secrets}
    ends = {secret: (form[:size], form[-size:]) for secret, form in escaped.items()}
    wanted = {end for pair in ends.values() for end in pair}
    seen = {part for at in range(len(text)) if (part := text[at : at + size]) in wanted}
    return [secret for secret, pair in ends.items() if not seen.isdisjoint(pair)]


def _redact(value: Any) -> Any:
    for name in _masking.MASKER_MODULES:
        with contextlib.suppress(Exception):
            masker = sys.modules[name]
            value = _redact_texts(masker.redact, value)
    return value


def _redact_texts(redact: Any, value: Any) -> Any:
    """Redact each text by itself: of a mapping, a masker would hide all beneath some keys."""
    if isinstance(value, dict):
        return {redact(key): _redact_texts(redact, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_texts(redact, item) for item in value]
    return redact(value) if isinstance(value, str) else value
