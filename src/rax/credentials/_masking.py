# SPDX-License-Identifier: Apache-2.0
"""What is secret in a credential, and Airflow's secrets masker, which hides it in logs."""

import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key|authorization|cookie", re.IGNORECASE)
# The scheme is not matched: trying one from each letter of a long text would take time that grows
# with the square of its length.
_URL_PASSWORD = re.compile(r"://[^\s/?#:@]*:([^\s/?#]*)@")
# Shorter lines of a secret of several lines are mere words and brackets.
_MIN_LINE_CHARACTERS = 8

# Airflow has a masker for its tasks, and another one for its own components.
MASKER_MODULES = ("airflow.sdk._shared.secrets_masker", "airflow._shared.secrets_masker")
_TASK = "airflow.sdk.execution_time.task_runner"
_MESSAGES = "airflow.sdk.execution_time.comms"
# The line to a supervisor that belongs to the process that this one was forked from.
_inherited: Any = None


def is_secret_key(key: str) -> bool:
    """Say whether the name of a field or setting says that its value is secret.

    >>> is_secret_key("api_token"), is_secret_key("port")
    (True, False)
    """
    return _SECRET_KEY.search(key) is not None


def secret_values(credential: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is secret in a credential, none of it empty.

    That is the password; what the vault protects; metadata whose key has pass, pwd, secret, token,
    key, authorization or cookie in it; and passwords in URLs, as they are written and as they are
    meant. Where it is not known what the vault protects, all metadata counts that is not an option
    of a connection.

    >>> list(secret_values({"pass": "a", "url": "ftp://me:b%21@c/", "metadata": {"api_key": "d"}}))
    ['a', 'b%21', 'b!', 'd']
    >>> list(secret_values({"pass": "a", "url": "", "metadata": {"port": 1, "PIN": "774411"}}))
    ['a', '774411']
    """
    if credential["pass"]:
        yield credential["pass"]
    names = protected(credential)
    for field in ("user", "host", "url", "description"):
        if names and field in names and credential[field]:
            yield credential[field]
    yield from _url_passwords(credential["url"])
    for key, value in credential["metadata"].items():
        yield from _secrets_in(value, is_secret_key(key) or is_protected(names, key))


def protected(credential: Mapping[str, Any]) -> Collection[str] | None:
    """Return what the vault protects, metadata as metadata.KEY; None where it is not known."""
    names: Collection[str] | None = getattr(credential, "protected", None)
    return credential.get("protected") if names is None else names


def is_protected(names: Collection[str] | None, key: str) -> bool:
    """Say whether metadata has to be taken for protected."""
    if names is not None:
        return f"metadata.{key}" in names
    from rax.credentials._connection_options import PLAIN

    return key not in PLAIN


def spellings(secret: str) -> set[str]:
    """Return a secret in the ways that URLs, Python and JSON write it, and its longer lines.

    >>> sorted(spellings("50% & more"))
    ['50% & more', '50%25%20%26%20more', '50%25+%26+more']
    """
    from urllib.parse import quote, quote_plus

    lines = (line.strip() for line in secret.splitlines())
    return {
        secret,
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        *(line for line in lines if len(line) >= _MIN_LINE_CHARACTERS),
    }


def maskers() -> tuple[Any, ...]:
    """Return what identifies the maskers that there are now, a task's supervisor among them.

    Where these are others than before, secrets have to be registered again. A masker is identified
    by its set of patterns, since Airflow empties one by a new set.
    """
    modules = sys.modules
    if "airflow" not in modules:
        return ()
    patterns = [_patterns(modules[name]) for name in MASKER_MODULES if name in modules]
    return (*patterns, _supervisor())


def register(credential: Mapping[str, Any]) -> bool:
    """Register the credential's secrets with Airflow's maskers, where they are loaded.

    A task also sends them to its supervisor, which writes what the task prints. Returns whether all
    took the secrets; one that is still being imported, or busy, has to get them again.
    """
    masks = [
        getattr(sys.modules[name], "mask_secret", None)
        for name in MASKER_MODULES
        if name in sys.modules
    ]
    supervisor = _supervisor()
    if not masks and supervisor is None:
        return True
    values = sorted({form for secret in secret_values(credential) for form in spellings(secret)})
    if not values:
        return True
    try:
        for mask in masks:
            mask(values)  # type: ignore[misc]  # calling None raises, and all are registered again
        if supervisor is not None:
            supervisor.send(sys.modules[_MESSAGES].MaskSecret(value=values))
    except Exception:
        # The error may quote the values, so it is dropped. Sending also fails while a coroutine's
        # message is on its way.
        return False
    return True


def _secrets_in(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, str):
        yield from (value,) if secret and value else ()
        yield from _url_passwords(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # A value that looks like a number in the vault has become one.
        yield from (str(value),) if secret else ()
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets_in(item, secret or is_secret_key(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_in(item, secret)


def _url_passwords(text: str) -> Iterator[str]:
    if "://" not in text:
        return
    from urllib.parse import unquote

    for match in _URL_PASSWORD.finditer(text):
        yield from dict.fromkeys(filter(None, (match[1], unquote(match[1]))))


def _patterns(module: Any) -> Any:
    try:
        return module._secrets_masker().patterns
    except AttributeError:
        return module


def _supervisor() -> Any:
    supervisor = getattr(sys.modules.get(_TASK), "SUPERVISOR_COMMS", None)
    return None if supervisor is _inherited else supervisor


def _after_fork() -> None:
    """Leave the parent's line to its supervisor alone: two that speak on it mix up its answers."""
    global _inherited
    _inherited = getattr(sys.modules.get(_TASK), "SUPERVISOR_COMMS", None)


os.register_at_fork(after_in_child=_after_fork)
