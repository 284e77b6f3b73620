# SPDX-License-Identifier: Apache-2.0
"""What systemd says of units."""

from pathlib import Path
from typing import NamedTuple

from rax.cli._node._commands import run

SYSTEMD = Path("/run/systemd/system")
_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,Type,NRestarts,Result,"
    "StateChangeTimestamp,ActiveEnterTimestamp"
)


class Unit(NamedTuple):
    """A unit of systemd; a time is in seconds since 1970, None where it never was."""

    name: str
    # Whether there is such a unit.
    loaded: bool
    state: str
    substate: str
    enabled: bool
    # Of a service: simple, oneshot and so on.
    type: str
    restarts: int
    result: str
    since: float | None
    active_since: float | None

    @property
    def active(self) -> bool:
        """Whether it runs."""
        return self.state in ("active", "reloading")


def units(*names: str) -> list[Unit]:
    """Return these units, in this order; names may be patterns.

    Without systemd there is none.

    :raises CommandFailedError: systemctl fails
    """
    if not SYSTEMD.is_dir():
        return []
    shown = run("systemctl", "show", "--timestamp=unix", f"--property={_PROPERTIES}", *names)
    return [_unit(block) for block in (shown or "").strip().split("\n\n") if block]


def _unit(block: str) -> Unit:
    said = dict(line.partition("=")[::2] for line in block.splitlines())
    restarts = said.get("NRestarts", "")
    return Unit(
        name=said.get("Id", ""),
        loaded=said.get("LoadState", "loaded") == "loaded",
        state=said.get("ActiveState", ""),
        substate=said.get("SubState", ""),
        enabled=said.get("UnitFileState") == "enabled",
        type=said.get("Type", ""),
        restarts=int(restarts) if restarts.isdecimal() else 0,
        result=said.get("Result", ""),
        since=_seconds(said.get("StateChangeTimestamp", "")),
        active_since=_seconds(said.get("ActiveEnterTimestamp", "")),
    )


def _seconds(text: str) -> float | None:
    """Read a time as systemctl prints it with --timestamp=unix: @ and seconds, or nothing."""
    digits = text.removeprefix("@")
    return float(digits) if digits.isdecimal() else None
