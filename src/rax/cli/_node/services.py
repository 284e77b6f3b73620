# SPDX-License-Identifier: Apache-2.0
"""The units of Airflow's components."""

import time

from rax._layout import duration
from rax.cli._node._commands import run
from rax.cli._node._part import ABSENT, Part, Problem, timestamp
from rax.cli._node._units import SYSTEMD, Unit, units

_PATTERN = "airflow-*.service"
# A unit that was restarted so often, and runs no longer than this, will soon be again.
MIN_RESTARTS = 3
MAX_YOUNG_SECONDS = 600


def services() -> Part:
    """Look at each unit; one that has ended its work and waits for its timer is not looked at."""
    if not SYSTEMD.is_dir():
        return ABSENT
    # systemctl fails without a message where no unit is of that pattern.
    listed = run("systemctl", "list-unit-files", "--plain", "--no-legend", _PATTERN, quiet=True)
    names = [line.split()[0] for line in (listed or "").splitlines() if line.strip()]
    services = [unit for unit in units(*names) if unit.type != "oneshot"] if names else []
    if not services:
        return ABSENT
    return Part(
        [_found(unit) for unit in services],
        [_line(unit) for unit in services],
        [problem for unit in services for problem in unit_problems(unit)],
    )


def unit_problems(unit: Unit) -> list[Problem]:
    """Return what is wrong with a unit that should run: at most one problem."""
    component = unit.name.removesuffix(".service").removeprefix("airflow-")
    look = f"`journalctl -u {unit.name}`"
    if unit.substate == "auto-restart":
        often = f"{unit.name} ends again and again, {unit.restarts} times so far: {look}"
        return [Problem(component, "restarting", often)]
    if not unit.active:
        if unit.enabled or unit.state == "failed":
            state = f"{unit.name} is {unit.state} ({unit.substate}): {look}"
            return [Problem(component, "inactive", state)]
        return []
    age = time.time() - (unit.active_since or 0)
    if unit.restarts >= MIN_RESTARTS and age < MAX_YOUNG_SECONDS:
        last = f"the last time {duration(max(age, 0))} ago"
        often = f"{unit.name} has ended {unit.restarts} times, {last}: {look}"
        return [Problem(component, "restarting", often)]
    return []


def _found(unit: Unit) -> dict[str, object]:
    return {
        "unit": unit.name,
        "state": unit.state,
        "substate": unit.substate,
        "enabled": unit.enabled,
        "restarts": unit.restarts,
        "since": None if unit.since is None else timestamp(unit.since),
    }


def _line(unit: Unit) -> str:
    when = "" if unit.since is None else f" for {duration(max(0, time.time() - unit.since))}"
    return f"{unit.name} {unit.state}{when}{'' if unit.enabled else ', not enabled'}"
