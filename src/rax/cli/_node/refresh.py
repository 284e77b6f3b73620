# SPDX-License-Identifier: Apache-2.0
"""The scheduled refresh of the credentials, where its timer is on this machine."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from rax._layout import duration
from rax.cli._node._commands import run
from rax.cli._node._part import ABSENT, Part, Problem, ago, timestamp
from rax.cli._node._status_files import read_text
from rax.cli._node._units import units

_TIMER, _SERVICE = "caspian-refresh.timer", "caspian-refresh.service"
_LOOK = f"`journalctl -u {_SERVICE}`"
# So many runs may be missing or fail before nothing is confirmed any longer.
MAX_MISSED_RUNS = 3
MIN_AGE_SECONDS = 1800
_MAX_METRICS_BYTES = 2**22
_METRIC = re.compile(r"caspian_credentials_([a-z_]+) ([0-9]{1,12})")


def refresh() -> Part:
    """Look at the timer, and at what the last run has left."""
    timer, service = (*units(_TIMER, _SERVICE), None, None)[:2]
    if timer is None or service is None or not timer.loaded:
        return ABSENT
    problems = []
    if not timer.active:
        problem = f"{_TIMER} is {timer.state}: no credentials are refreshed; start it"
        problems.append(Problem("refresh", "refresh", problem))
    try:
        told = _metrics()
    except ValueError as error:
        told = {}
        problems.append(Problem("refresh", "unanswered", str(error)))
    success, failures = told.get("last_success_timestamp_seconds"), told.get("consecutive_failures")
    failed = told.get("last_run_success") == 0 if told else service.result != "success"
    if failed:
        since = f", the last good one ended {ago(success)}" if success else ""
        problem = f"its last run failed ({failures or 1} in a row{since}): {_LOOK}"
        problems.append(Problem("refresh", "refresh", problem))
    elif success and not problems and time.time() - success > (limit := _max_age_seconds()):
        problem = (f"the last good run ended {ago(success)}, and {duration(limit)} are allowed:"
                   f" {_LOOK}")  # fmt: skip
        problems.append(Problem("refresh", "refresh", problem))
    if told.get("alert_unsent"):
        problem = f"PagerDuty has not been told of its last alert: {_LOOK}"
        problems.append(Problem("refresh", "alerts-kept", problem))
    found = {
        "timer": timer.state,
        "last_success": timestamp(success) if success else None,
        "failures": failures,
        "vault_up": bool(told["vault_up"]) if "vault_up" in told else None,
    }
    line = f"the last good run ended {ago(success)}" if success else "no run was good yet"
    return Part(found, [line], problems)


def _metrics() -> dict[str, int]:
    """Return the numbers that each run writes (docs/credentials.md); none before the first."""
    shown = run("systemctl", "show", "--property=ExecStopPost", _SERVICE) or ""
    # The unit alone knows which folder a site has chosen.
    match = re.search(r" --metrics (\S+)", shown)
    if not match:
        return {}
    text = read_text(Path(match[1]), _MAX_METRICS_BYTES) or ""
    return {name: int(value) for name, value in _METRIC.findall(text)}


def _max_age_seconds() -> float:
    """Return how old the last good run may be, by how often the timer starts one."""
    shown = run("systemctl", "show", "--value", "--property=LastTriggerUSec",
                "--property=NextElapseUSecRealtime", _TIMER) or ""  # fmt: skip
    try:
        first, second = (
            datetime.strptime(line, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
            for line in shown.splitlines()
        )
    except ValueError:
        # It has not started one since this machine has.
        return float("inf")
    return max(MAX_MISSED_RUNS * abs((second - first).total_seconds()), MIN_AGE_SECONDS)
