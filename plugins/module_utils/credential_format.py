# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a credential is, for the controller's filters and the node's module alike."""

from __future__ import annotations

import json
import math
import re
from typing import Any

FIELDS = ("user", "host", "pass", "url", "description", "metadata")
REQUIRED_FIELDS = ("user", "host", "pass")

LONGEST_NAME = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Compact, which json does in C.
_dumps = json.JSONEncoder(sort_keys=True).encode


def name_problem(name: object) -> str | None:
    """Say why ``name`` can't name a credential and its file, None when it can."""
    if not isinstance(name, str):
        return f"{name!r} is not a text (a name that looks like a number needs quotes)"
    if len(name) > LONGEST_NAME:
        return f"{name[:24]!r}… has more than {LONGEST_NAME} characters"
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
    empty = [field for field in REQUIRED_FIELDS if not _has_text(credential.get(field))]
    if empty:
        return f"{' and '.join(empty)} missing or empty"
    unknown = [str(field) for field in credential if field not in FIELDS]
    if unknown:
        return f"it has unknown fields: {', '.join(unknown)} (extras belong into metadata)"
    for field in ("url", "description"):
        if not isinstance(credential.get(field, ""), str):
            return f"{field} is not a text"
    metadata = credential.get("metadata", {})
    if not isinstance(metadata, dict):
        return "metadata is not a mapping"
    for key, value in metadata.items():
        if not isinstance(key, str) or not _is_scalar(value):
            return f"metadata.{key} is not a text, number or truth value"
    return None


def encode(credential: dict[str, Any]) -> bytes:
    """Write a credential as its file has it: every field, and equal bytes for equal values."""
    complete = {"url": "", "description": "", "metadata": {}, **credential}
    lines = [f'  "{field}": {_dumps(complete[field])}' for field in sorted(FIELDS)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def decode(content: bytes) -> Any:
    """Read the file of a credential; None when it holds no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_scalar(value: object) -> bool:
    # NaN and the infinities are numbers of Python, but not of JSON.
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
