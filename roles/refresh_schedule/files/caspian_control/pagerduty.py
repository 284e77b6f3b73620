# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an event is sent to PagerDuty, by the library rax, and what is known of an incident there."""

from __future__ import annotations

import logging
import os
from typing import Any, Literal

from caspian_control.text import one_line

# PagerDuty's limit.
MAX_SUMMARY_CHARACTERS = 1024
# Whether PagerDuty has an incident of ours: not sure after a try whose end we don't know.
NONE, UNSURE, OPEN = "none", "unsure", "open"


def key(incident: str) -> str:
    """Return the key of an incident of the environment that RAX_ENVIRONMENT names."""
    try:
        from rax import alerting
    except ImportError:
        # Nothing can be sent either.
        return incident
    return alerting.dedup_key(incident)


def send(
    action: Literal["trigger", "resolve"], credential: str, seconds: float, **event: Any
) -> str:
    """Send an event within so many seconds; return what went wrong, or nothing."""
    os.environ["RAX_ALERTING_CREDENTIAL"] = credential
    # PagerDuty's client would write a line for each attempt.
    logging.getLogger("pagerduty").setLevel(logging.CRITICAL)
    try:
        from rax import alerting
        from rax.errors import RaxError
    except ImportError:
        return "the package 'rax' is not installed here"
    try:
        alerting.deliver(action, **event, limit=seconds)
    except RaxError as error:
        return one_line(str(error))
    except Exception as error:
        return f"unexpected {type(error).__name__}"
    return ""
