# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of others, made fit to be shown: what steers a terminal or misleads a reader is visible.

What nodes, vaults and servers say may hold anything. Whatever of it reaches a terminal, a log or a
report goes through here. The library (rax._printable) and the sync (airflow_dag_sync.text), which
cannot import this, do the same; tests/repo/test_printable.py compares them.
"""

from __future__ import annotations

import re
from typing import Any

# str.isprintable() takes these for printable, and no reader sees them: they are Unicode's
# default-ignorable characters, but for the two selectors between a letter and an emoji.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0d\uffa0"
_HIDDEN = re.compile(f"[{_INVISIBLE}\U000e0100-\U000e01ef]")
_CUT = "…"
_HALF = re.compile(r"\\(x[0-9a-f]?|u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?$")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return the text with \x1b, \n, \u202e for each character that steers, hides or lies.

    These are control and format characters, all separators but the blank, what is invisible, and
    what is no character: a lone surrogate, or what is not assigned. With ``lines``, line feeds and
    tabs stay.
    """
    if text.isprintable() and not _HIDDEN.search(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(char if char in kept else _shown(char) for char in text)


def one_line(text: str, length: int | None = None) -> str:
    """Return the text as one line of at most `length` characters; one that is cut ends in …."""
    shown = printable(" ".join(text.split()))
    if length is None or len(shown) <= length:
        return shown
    # An escape that was cut in half would be shown as something else.
    return _HALF.sub("", shown[: length - len(_CUT)]) + _CUT


def _shown(char: str) -> str:
    if char.isprintable() and not _HIDDEN.match(char):
        return char
    return char.encode("unicode_escape").decode()


def text_of(value: Any) -> str:
    """Return the text of any value, also of one that cannot be written down."""
    try:
        return str(value)
    except Exception:
        # A number may have too many digits to be written, and a list may hold itself.
        return f"a {type(value).__name__} that cannot be shown"
