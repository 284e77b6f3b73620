# SPDX-License-Identifier: Apache-2.0
"""What PostgreSQL and Redis have in common: a file of root's says where they listen."""

import re
from pathlib import Path

from rax.cli._node._part import Problem
from rax.cli._node._units import Unit

EVERYWHERE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::*": "::1", "::": "::1"}  # noqa: S104 - compared alone


def options(path: Path) -> dict[str, str]:
    """Return the options of a settings file, the last of each name; who may not read it, none.

    Both servers have a name and its value in a line, PostgreSQL with or without an equals sign.
    """
    try:
        text = path.read_text(errors="replace")
    except (FileNotFoundError, PermissionError):
        return {}
    lines = (re.fullmatch(r"\s*([a-z_-]+)\s*[= ]\s*(.*?)\s*", line) for line in text.splitlines())
    return {match[1]: match[2].strip("'\"") for match in lines if match}


def unit_problem(component: str, unit: Unit) -> list[Problem]:
    """Return that a server's unit does not run."""
    if unit.active:
        return []
    state = f"{unit.name} is {unit.state} ({unit.substate}): `journalctl -u {unit.name}`"
    return [Problem(component, "inactive", state)]
