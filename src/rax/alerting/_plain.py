# SPDX-License-Identifier: Apache-2.0
"""Any value as JSON can hold it: of bounded size, and never an error."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rax._printable import printable
from rax.credentials import Credential

# More than an event may have. The last two are for objects that hold each other, which have no end.
MAX_TEXT_CHARACTERS = 2**16
_MAX_LEVELS = 20
_MAX_CHARACTERS = 2**19


class Plain:
    """Turns values into what JSON can hold, until there is too much."""

    def __init__(self) -> None:
        self._characters_left = _MAX_CHARACTERS

    def __call__(self, value: object, depth: int = 0) -> Any:
        """Return the value; a credential as its name, and … for the rest of what is too large."""
        if self._characters_left <= 0:
            return "…"
        try:
            plain = self._plain(value, depth)
        except Exception:
            # An object may pass for a mapping or a number, and fail when it is asked to act as one.
            plain = text_of(value)
        self._characters_left -= 2 + (len(plain) if isinstance(plain, str) else 0)
        return plain

    def _plain(self, value: object, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and abs(value) < 2**63:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        # A credential is a mapping, too, but its text has no password.
        if isinstance(value, Mapping) and not isinstance(value, Credential):
            if depth == _MAX_LEVELS:
                return f"{len(value)} entries"
            return {
                self(text_of(key)): self(item, depth + 1) for key, item in self._few(value.items())
            }
        if isinstance(value, list | tuple | set | frozenset):
            if depth == _MAX_LEVELS:
                return f"{len(value)} entries"
            return [self(item, depth + 1) for item in self._few(value)]
        return text_of(value)

    def _few(self, items: Iterable[Any]) -> Iterator[Any]:
        # A copy, since another thread may change the collection meanwhile.
        for item in list(items):
            yield item
            if self._characters_left <= 0:
                return


def text_of(value: object) -> str:
    """Return the text of anything, with ? for what cannot be sent: lone surrogates."""
    try:
        text = repr(value) if isinstance(value, bytes) else str(value)
        # More than is sent of it. Half a secret at the end of it is masked like a whole one.
        return text[: 2 * MAX_TEXT_CHARACTERS].encode("utf-8", "replace").decode()
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"


def as_json(value: Any) -> str:
    """Return the JSON of what JSON can hold."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def without_controls(value: Any) -> Any:
    """Return what JSON can hold, with all that steers a terminal escaped; line feeds stay."""
    if isinstance(value, str):
        return printable(value, lines=True)
    if isinstance(value, list):
        return [without_controls(item) for item in value]
    if isinstance(value, dict):
        return {without_controls(key): without_controls(item) for key, item in value.items()}
    return value


def cut(value: Any, width: int) -> Any:
    """Return the value with ``width`` characters of each text and items of each collection."""
    if isinstance(value, str):
        return cut_text(value, width)
    if isinstance(value, list):
        kept = [cut(item, width) for item in value[:width]]
        return [*kept, f"… {len(value) - width} more"] if len(value) > width else kept
    if isinstance(value, dict):
        items = list(value.items())
        few = {cut_text(key, width): cut(item, width) for key, item in items[:width]}
        return few | {"…": f"{len(items) - width} more"} if len(items) > width else few
    return value


def cut_text(text: str, length: int) -> str:
    """Return a text of so many characters at most; what is cut ends in …."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"
