# SPDX-License-Identifier: Apache-2.0
"""Lines for the log ``rax.alerting`` that are written once nothing is left to be done."""

import contextlib
import logging

from rax._printable import one_line

_MAX_LINE_CHARACTERS = 2000

_logger = logging.getLogger("rax.alerting")


class DeferredLog:
    """Collects lines in the thread that works, and writes them in the thread that waits for it.

    The handlers of a log may be slow or fail, which must cost no alert.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[int, str]] = []

    def info(self, text: str) -> None:
        self._lines.append((logging.INFO, text))

    def warning(self, text: str) -> None:
        self._lines.append((logging.WARNING, text))

    def error(self, text: str) -> None:
        self._lines.append((logging.ERROR, text))

    def write(self) -> None:
        """Write what was collected, whatever the handlers do."""
        with contextlib.suppress(Exception):
            # A copy, since a thread that is late may still add to it.
            for level, text in [*self._lines]:
                _logger.log(level, "%s", one_line(text, _MAX_LINE_CHARACTERS))
