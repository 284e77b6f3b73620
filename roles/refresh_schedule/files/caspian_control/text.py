# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that is fit to be shown: one line, and no secret of this node in it.

The library rax, which the role installs beside this, knows how; without it the report goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

MAX_LINE_CHARACTERS = 4000
MAX_REASON_CHARACTERS = 300
MAX_LISTED_NAMES = 5
MAX_LISTED_REASON_CHARACTERS = 120
MAX_NAMES_IN_DETAILS = 100


def one_line(text: str, length: int = MAX_REASON_CHARACTERS) -> str:
    """Return a text for one line of a log or an alert, with nothing in it that is not shown."""
    try:
        from rax import _printable
    except ImportError:
        return ascii(" ".join(text.split()))[1:-1][:length]
    return _printable.one_line(text, length)


def without_secrets(document: Any) -> Any:
    """Return what was read with *** for this node's secrets, before any of it is cut."""
    try:
        from rax.alerting import _secrets
    except ImportError:
        return document
    return _secrets.hide(document)


def listed(items: Mapping[str, str]) -> str:
    """Name the first few with their reasons, shortly."""
    named = [
        f"{name} ({one_line(reason, MAX_LISTED_REASON_CHARACTERS)})" if reason else name
        for name, reason in sorted(items.items())
    ][:MAX_LISTED_NAMES]
    more = len(items) - len(named)
    return f"{', '.join(named)}{f' and {more} more' if more else ''}"


def first(items: Mapping[str, str]) -> dict[str, str]:
    """Return as many as an alert has room for."""
    kept = dict(sorted(items.items())[:MAX_NAMES_IN_DETAILS])
    more = len(items) - len(kept)
    return kept | {"…": f"{more} more"} if more else kept


def complain(text: str) -> None:
    """Write a line for the journal about this program itself."""
    sys.stderr.write(f"caspian_control: {one_line(text, MAX_LINE_CHARACTERS)}\n")
