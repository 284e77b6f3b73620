# SPDX-License-Identifier: Apache-2.0
"""``rax status``: what this node runs, and whether anything of it needs a person."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rax._printable import one_line
from rax.cli._account import leave_root
from rax.cli._commands import add_command
from rax.cli._output import write, write_json, write_table
from rax.errors import RaxError

if TYPE_CHECKING:
    from rax.cli._commands import Commands
    from rax.cli._node import Part

_ABSENT = "not on this machine"


def add_parser(commands: "Commands") -> None:
    """Add the command to the command line."""
    add_command(
        commands,
        "status",
        _status,
        "release, environment, credentials, services and alerts of this node",
        "A part that is not on this machine is said not to be, and is no problem.\n"
        "Exit code: 0 nothing is wrong, 1 something is: problems are listed at the end.",
    )


def _status(options: argparse.Namespace) -> int:
    import os

    from rax.cli import _node

    leave_root()
    parts = {name: _looked_at(look) for name, look in _node.PARTS.items()}
    problems = [
        {"part": name, "problem": one_line(problem)}
        for name, part in parts.items()
        for problem in part.problems
    ]
    if options.json:
        found: dict[str, Any] = {name: part.found for name, part in parts.items()}
        write_json({"host": os.uname().nodename, **found, "problems": problems})
    else:
        rows = []
        for name, part in parts.items():
            lines = part.lines or ["see below" if part.problems else _ABSENT]
            rows += [(name if line is lines[0] else "", line) for line in lines]
        write_table(("", ""), rows)
        for problem in problems:
            write(f"problem: {problem['part']}: {problem['problem']}\n")
    return 1 if problems else 0


def _looked_at(look: "Callable[[], Part]") -> "Part":
    """Look at a part; one that cannot be looked at is a problem of its own, not of the others."""
    from rax.cli._node import Part

    try:
        return look()
    except (RaxError, OSError) as error:
        return Part(None, [], [str(error)])
