# SPDX-License-Identifier: Apache-2.0
"""Anything as JSON has it: of bounded size, and never an error."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rax._printable import printable
from rax.credentials import Credential

# Characters of a text, levels, and bytes of it all, which are more than an event may have. A few
# objects that hold each other are endless.
LONGEST_TEXT = 2**16
_DEPTH = 20
_SIZE = 2**19


class Plain:
    """Turns values into what JSON can hold, until there is too much."""

    def __init__(self) -> None:
        """Begin with room for all."""
        self._left = _SIZE

    def __call__(self, value: object, depth: int = 0) -> Any:
        """Return the value; a credential is its name, and the rest of what is too large is …"""
        if self._left <= 0:
            return "…"
        try:
            plain = self._plain(value, depth)
        except Exception:
            # Objects may lie about what they are.
            plain = text_of(value)
        self._left -= 2 + (len(plain) if isinstance(plain, str) else 0)
        return plain

    def _plain(self, value: object, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and abs(value) < 2**63:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        # A credential is a mapping too; its text has no password.
        if isinstance(value, Mapping) and not isinstance(value, Credential):
            if depth == _DEPTH:
                return f"{len(value)} entries"
            return {
                self(text_of(key)): self(item, depth + 1) for key, item in self._few(value.items())
            }
        if isinstance(value, list | tuple | set | frozenset):
            if depth == _DEPTH:
                return f"{len(value)} entries"
            return [self(item, depth + 1) for item in self._few(value)]
        return text_of(value)

    def _few(self, items: Iterable[Any]) -> Iterator[Any]:
        # A list of them, since others may change a collection meanwhile.
        for item in list(items):
            yield item
            if self._left <= 0:
                return


def text_of(value: object) -> str:
    """Return the text of anything; a lone surrogate in it could not be sent."""
    try:
        text = repr(value) if isinstance(value, bytes) else str(value)
        # Longer than what is sent of it. Who masks it masks the half of a secret at its end, too.
        return text[: 2 * LONGEST_TEXT].encode("utf-8", "replace").decode()
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"


def as_json(value: Any) -> str:
    """Return the text of what JSON can hold."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def shown(value: Any) -> Any:
    """Return what JSON can hold with nothing in its texts that steers a terminal; lines stay."""
    if isinstance(value, str):
        return printable(value, lines=True)
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    return value


def cut(value: Any, width: int) -> Any:
    """Keep so many characters of each text, and so many items of each collection."""
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
    """Return so many characters of a text."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"
