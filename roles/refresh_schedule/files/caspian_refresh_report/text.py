# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that is fit to be shown: one line, and no secret of this node in it.

The library rax, which the role installs beside this, knows how; without it the report goes on.
"""

from __future__ import annotations

import sys
from typing import Any

MAX_LINE_CHARACTERS = 4000
MAX_REASON_CHARACTERS = 300


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


def complain(text: str) -> None:
    """Write a line for the journal about this program itself."""
    sys.stderr.write(f"caspian_refresh_report: {one_line(text, MAX_LINE_CHARACTERS)}\n")
