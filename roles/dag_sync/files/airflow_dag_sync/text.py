# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into messages: printable, short, and without passwords."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

# Says one line to a person or the journal, with a priority of syslog.
Say = Callable[..., None]

MAX_LINE_CHARACTERS = 2000
MAX_REASON_CHARACTERS = 400
# Of more names a message says only how many there are.
MAX_NAMES = 5

# These two are the same as in rax._printable, which this program cannot import: characters that
# nobody sees, and an escape that a cut has left half of.
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0d\uffa0"
HIDDEN = re.compile(f"[{INVISIBLE}\U000e0100-\U000e01ef]")
HALF_AN_ESCAPE = re.compile(r"\\(x[0-9a-f]?|u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?$")
# It masks rather more than needed, but not the plain user of an ssh URL.
USERINFO = re.compile(r"(?<=://)(?!(?<=ssh://)[^\s/@:]+@)\S*@|[^\s/@:'\"]+:[^\s/@]+@")


def printable(text: str, *, lines: bool = False) -> str:
    """Write what steers a terminal or misleads a reader as an escape, as rax._printable does."""
    if text.isprintable() and not HIDDEN.search(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(char if char in kept else shown(char) for char in text)


def shown(char: str) -> str:
    """Return a character, or its escape."""
    if char.isprintable() and not HIDDEN.match(char):
        return char
    return char.encode("unicode_escape").decode()


def one_line(text: str, length: int | None = None) -> str:
    """Make one printable line of at most so many characters; names of files may hold any bytes."""
    words = printable(" ".join(text.split()))
    if length is None or len(words) <= length:
        return words
    return HALF_AN_ESCAPE.sub("", words[: length - 1]) + "…"


def log_line(message: str) -> str:
    """Make one printable line, in which a byte of a name that is not UTF-8 is a �."""
    return one_line(re.sub("[\ud800-\udfff]", "\ufffd", message), MAX_LINE_CHARACTERS)


def without_userinfo(text: str) -> str:
    """Mask what may be a password or token in a URL; to be called before the text is cut."""
    return USERINFO.sub("***@", text)


def without_numbers(message: str) -> str:
    """Make messages comparable that differ in a duration or a port."""
    return re.sub(r"\d+", "0", message)


def summarize(names: Iterable[str], separator: str = ", ") -> str:
    """Name the first few of many."""
    names = list(names)
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return separator.join(names[:MAX_NAMES]) + more


def timestamp(seconds: float) -> str:
    """Write a time in UTC, for people and machines."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
