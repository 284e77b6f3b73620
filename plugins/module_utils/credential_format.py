# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a credential is, for the controller and for the node's module alike.

Each border checks what comes from outside once: the controller what a vault's lookup returned, the
module what it was given and what it finds in a file. The rules are here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

TEXT_FIELDS = ("user", "host", "pass", "url", "description")
FIELDS = (*TEXT_FIELDS, "metadata")
REQUIRED_FIELDS = ("user", "host", "pass")

# The fields that the vault protects, metadata as metadata.KEY. A credential without this key is one
# of which nobody knows them.
PROTECTED = "protected"

MAX_NAME_CHARACTERS = 128
MAX_KEY_CHARACTERS = 256
# Of the file of a credential; a text of 64 KiB fits, however it is escaped.
MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Of ASCII and Latin-1, and what Unicode has for the end of a line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Without indentation, which json would do in Python instead of C.
_dumps = json.JSONEncoder(sort_keys=True).encode


def name_problem(name: object) -> str | None:
    """Say why ``name`` can't name a credential and its file, None when it can."""
    if not isinstance(name, str):
        return f"{name!r} is not a text (a name that looks like a number needs quotes)"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"{name[:24]!r}… has more than {MAX_NAME_CHARACTERS} characters"
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} is not a safe file name: use letters, digits, '.', '_' and '-',"
            " with a letter or digit first"
        )
    return None


def content_problem(credential: object) -> str | None:
    """Say why a credential must not be delivered, naming fields and never a value."""
    if not isinstance(credential, dict):
        return "it is not a mapping"
    return field_problem(credential) or type_problem(credential) or value_problem(credential)


def field_problem(credential: Mapping[str, Any]) -> str | None:
    """Say which fields are missing or must not be there."""
    empty = [field for field in REQUIRED_FIELDS if not _has_text(credential.get(field))]
    if empty:
        return f"{' and '.join(empty)} missing or empty"
    unknown = [
        _CONTROL.sub("?", str(field)) for field in credential if field not in (*FIELDS, PROTECTED)
    ]
    if unknown:
        return f"it has unknown fields: {', '.join(unknown)} (extras belong into metadata)"
    return None


def type_problem(credential: Mapping[str, Any]) -> str | None:
    """Say which of the fields that are there has another type."""
    for field in TEXT_FIELDS:
        if not isinstance(credential.get(field, ""), str):
            return f"{field} is not a text"
    metadata = credential.get("metadata", {})
    if not isinstance(metadata, Mapping):
        return "metadata is not a mapping"
    for key, value in metadata.items():
        if isinstance(key, str) and not _is_key(key):
            return (
                "metadata has a key that is empty, has a control character in it, or has more than"
                f" {MAX_KEY_CHARACTERS} characters"
            )
        if not isinstance(key, str) or not _is_scalar(value):
            return f"metadata.{key} is not a text, number or truth value"
    protected = credential.get(PROTECTED, [])
    if not isinstance(protected, list) or not all(isinstance(name, str) for name in protected):
        return "protected is not a list of names"
    return None


def value_problem(credential: dict[str, Any]) -> str | None:
    """Say why the values of a credential, which are of the right types, can't be delivered."""
    for field in ("user", "host", "url"):
        if _CONTROL.search(credential.get(field, "")):
            return f"{field} has a control character, such as a line break, in it"
    known = {*FIELDS, *(f"metadata.{key}" for key in credential.get("metadata", {}))}
    if not known.issuperset(credential.get(PROTECTED, [])):
        return "protected names a field that is not there"
    if len(encode(credential)) > MAX_BYTES:
        return f"it takes more than {MAX_BYTES} bytes"
    return None


def encode(credential: dict[str, Any]) -> bytes:
    """Return the bytes of a credential's file: every field, and equal bytes for equal values."""
    complete = {"url": "", "description": "", "metadata": {}, **credential}
    lines = [f'  "{field}": {_dumps(complete[field])}' for field in sorted(complete)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def decode(content: bytes) -> Any:
    """Return the value that a credential's file holds, None when that is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_key(key: str) -> bool:
    return 0 < len(key) <= MAX_KEY_CHARACTERS and not _CONTROL.search(key)


def _is_scalar(value: object) -> bool:
    # NaN and the infinities are numbers of Python, but not of JSON.
    if isinstance(value, int):
        # Python reads no number of more than 4,300 digits, others none of more than 64 bits.
        return -(1 << 63) <= value < 1 << 64
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))
