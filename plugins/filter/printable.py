# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of others, made fit to be shown by a playbook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line, text_of

# A line of so many characters fills a page of a terminal.
MAX_CHARACTERS = 2000


def printable(value: Any, length: int = MAX_CHARACTERS) -> str:
    """Return any value as one line of at most `length` characters, which steers no terminal."""
    return one_line(text_of(value), length)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"printable": printable}
