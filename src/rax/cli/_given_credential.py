# SPDX-License-Identifier: Apache-2.0
"""What ``rax credentials set`` is given: by options, by a pipe, and by a person who is asked."""

import getpass
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from rax._printable import one_line
from rax.config import _files as config_files
from rax.config._plain_words import value_of
from rax.credentials import _files
from rax.credentials._masking import secret_values
from rax.errors import CommandError

_FIELDS = (*_files.FIELDS, _files.PROTECTED)
_ASKED = ("user", "host", "pass", "url")
# Of what a pipe brings. A password of 64 KiB fits, however JSON escapes it.
_MAX_BYTES = 1 << 20
_MAX_SHOWN_CHARACTERS = 60


def by_options(given: Mapping[str, str | None], words: Sequence[str]) -> dict[str, Any]:
    """Return the fields that the command line has.

    :param given: the options by field, None where there is none
    :param words: of metadata, ``KEY=VALUE`` each, or ``KEY=`` for one that is to go
    :raises CommandError: one of them holds a secret, which argv shows to others
    """
    fields: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    metadata = dict(map(_pair, words))
    for where, document in (
        *((f"--{name}", {"url": text}) for name, text in fields.items()),
        *((f"--meta {key}", {"metadata": {key: value}}) for key, value in metadata.items()),
    ):
        blank = {"pass": "", "url": "", "metadata": {}, _files.PROTECTED: []}
        if any(secret_values({**blank, **document})):
            raise CommandError(
                f"{where} holds a secret, and other accounts can list the words of a command: give"
                " it by --stdin, as JSON"
            )
    return {**fields, "metadata": metadata} if metadata else fields


def _pair(word: str) -> tuple[str, Any]:
    """Return key and value of a word of metadata; without a value, the key is to go."""
    key, sign, value = word.partition("=")
    if not key or not sign:
        raise CommandError(f"--meta takes KEY=VALUE, such as port=5432, and not {one_line(key)!r}")
    return key, value_of(value) if value else None


def by_pipe() -> dict[str, Any]:
    """Return what standard input has: fields as a JSON object, or else a password in one line.

    :raises CommandError: it is neither; the message has nothing of it
    """
    content = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise CommandError(f"standard input has more than {_MAX_BYTES} bytes")
    fields, problem = _parsed(content)
    if problem:
        # Raised here, where no error that quotes the text becomes the context of this one.
        raise CommandError(f"standard input {problem}")
    for name in fields:
        if name not in _FIELDS:
            near = config_files.near(name, _FIELDS) or f": it has {', '.join(_FIELDS)}"
            raise CommandError(f"a credential has no field {one_line(name, 40)!r}{near}")
    if not isinstance(fields.get("metadata", {}), dict):
        raise CommandError("metadata is not an object")
    return fields


def _parsed(content: bytes) -> tuple[dict[str, Any], str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {}, "is not UTF-8"
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text)), ""
        except json.JSONDecodeError as error:
            return {}, f"begins with {{ and is not JSON: line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError):
            return {}, "is not JSON that a credential could be"
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        return {}, "is empty: it is to have the password in one line, or JSON"
    if "\n" in password or "\r" in password:
        return {}, "has several lines: it is to have the password in one line, or JSON"
    return {"pass": password}, ""


def by_person(old: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person at the terminal answers for each field that is not given yet.

    What is pressed for the password is not shown. An empty answer keeps what a field has.

    :raises CommandError: there is no terminal to ask at, or a new credential gets no password
    """
    if not sys.stdin.isatty():
        raise CommandError(
            "standard input is no terminal to ask at: use --stdin, with the password in one line,"
            " or with all of the credential as JSON"
        )
    fields = {}
    try:
        for name in _ASKED:
            if name not in given and (answer := _ask(name, old)):
                fields[name] = answer
    except EOFError:
        raise CommandError("the answers ended too early: nothing is written") from None
    if old is None and "pass" not in fields:
        raise CommandError("no password was given: nothing is written")
    return fields


def _ask(name: str, old: Mapping[str, Any] | None) -> str:
    if name == "pass":
        return _ask_password(old is not None)
    kept = one_line(_shown(name, old or {}), _MAX_SHOWN_CHARACTERS)
    return input(f"{name.capitalize()}{f' [{kept}]' if kept else ''}: ").strip()


def _ask_password(is_kept: bool) -> str:
    hint = " [as it is]" if is_kept else ""
    with warnings.catch_warnings():
        # It would go on, and show what is pressed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"Password (not shown){hint}: ")
        except getpass.GetPassWarning:
            raise CommandError(
                "this terminal would show the password: give it by --stdin"
            ) from None


def _shown(name: str, old: Mapping[str, Any]) -> str:
    """Return what a field has, or nothing where that is secret."""
    text = str(old.get(name, ""))
    is_secret = name in old.get(_files.PROTECTED, ()) or any(
        secret in text for secret in secret_values({"pass": "", "metadata": {}, "url": text})
    )
    return "***" if is_secret else text
