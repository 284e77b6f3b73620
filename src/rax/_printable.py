# SPDX-License-Identifier: Apache-2.0
"""Text of others, made fit to be shown: what could steer a terminal or mislead a reader is visible.

Names of files, messages of commits, answers of servers and values of vaults may hold anything.
Whatever of them reaches a terminal, a log, a metric or an alert goes through here, after its
secrets were masked: an escape inside of one would hide it from whoever masks.

The collection (plugins/plugin_utils/printable.py) and the sync (airflow_dag_sync.text), which
cannot import this, do the same; tests/repo/test_printable.py compares them.
"""

import re

# What str.isprintable() takes for printable and no reader sees: Unicode's default-ignorable
# characters, but for the two selectors that choose between a letter and an emoji.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0d\uffa0"
_HIDDEN = re.compile(f"[{_INVISIBLE}\U000e0100-\U000e01ef]")
_CUT = "…"
_HALF = re.compile(r"\\(x[0-9a-f]?|u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?$")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return the text with \x1b, \n, \u202e for each character that steers, hides or lies.

    These are control and format characters, all separators but the blank, what is invisible, and
    what is no character: a lone surrogate, or what is not assigned. With ``lines``, line feeds and
    tabs stay.

    >>> printable("é 日本 a\x1b[31mb\nc")
    'é 日本 a\\x1b[31mb\\nc'
    """
    if text.isprintable() and not _HIDDEN.search(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(char if char in kept else _shown(char) for char in text)


def one_line(text: str, length: int | None = None) -> str:
    r"""Return the text as one line, of so many characters at most; what is cut ends in ….

    >>> one_line("a  problem\n"), one_line("a\x1bb", 4)
    ('a problem', 'a…')
    """
    shown = printable(" ".join(text.split()))
    if length is None or len(shown) <= length:
        return shown
    # The cut must not leave half of an escape.
    return _HALF.sub("", shown[: length - len(_CUT)]) + _CUT


def _shown(char: str) -> str:
    if char.isprintable() and not _HIDDEN.match(char):
        return char
    return char.encode("unicode_escape").decode()
