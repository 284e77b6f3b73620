# SPDX-License-Identifier: Apache-2.0
"""The alerts that have not reached PagerDuty."""

import time
from datetime import datetime

from rax.cli._node._part import Part, Problem

# An alert is sent within seconds, and cron tries again each minute.
MAX_WAITING_SECONDS = 300


def alerts() -> Part:
    """Look at the spool: what is just being sent is no problem."""
    from rax.cli.alerts import look

    found = look()
    counts = {
        "pending": len(found["pending"]),
        "refused": len(found["refused"]),
        "dropped": found["dropped"],
    }
    words = {"pending": "waiting to be sent", "refused": "refused", "dropped": "lost"}
    said = ", ".join(f"{count} {words[name]}" for name, count in counts.items() if count)
    waits = any(_age(entry["when"]) > MAX_WAITING_SECONDS for entry in found["pending"])
    problems = []
    if waits or counts["refused"] or counts["dropped"]:
        problems = [Problem("alerts", "alerts-kept", f"{said}: `rax alerts status`")]
    return Part({**counts, "off": found["off"]}, [said or found["off"] or "all sent"], problems)


def _age(when: str) -> float:
    return time.time() - datetime.fromisoformat(when).timestamp()
