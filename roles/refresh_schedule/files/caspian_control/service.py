# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service ended, by what systemd tells its ExecStopPost of it."""

from __future__ import annotations

from collections.abc import Mapping

from caspian_control.text import one_line


def service_result(environment: Mapping[str, str]) -> str:
    """Return what systemd calls the result of the service."""
    return environment.get("SERVICE_RESULT") or "success"


def was_stopped(environment: Mapping[str, str]) -> bool:
    """Tell whether systemd itself may have stopped the run, which it calls either result."""
    return (
        service_result(environment) in ("success", "signal")
        and environment.get("EXIT_CODE") == "killed"
        and environment.get("EXIT_STATUS") == "TERM"
    )


def service_problem(environment: Mapping[str, str]) -> str:
    """Put systemd's result into words, or nothing for success."""
    result = service_result(environment)
    status = one_line(environment.get("EXIT_STATUS", ""))
    words = {
        "success": "",
        "timeout": "it was ended since it took too long",
        "exit-code": f"ansible-playbook ended with {status or 'an error'}",
        "signal": f"it was killed by {status or 'a signal'}",
        "core-dump": f"it crashed by {status or 'a signal'}",
        "oom-kill": "it was killed since memory ran out",
        "resources": "systemd could not start it",
        "start-limit-hit": "it was started too often",
    }
    return words.get(result, f"systemd calls its result {one_line(result)}")
