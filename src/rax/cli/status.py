# SPDX-License-Identifier: Apache-2.0
"""``rax status``: what this node runs, and whether anything of it needs a person."""

import argparse
from typing import TYPE_CHECKING, Any

from rax.cli._account import account_of_tasks
from rax.cli._commands import add_command
from rax.cli._output import write, write_json, write_table

if TYPE_CHECKING:
    from rax.cli._commands import Commands

_ABSENT = "not on this machine"


def add_parser(commands: "Commands") -> None:
    """Add the command to the command line."""
    add_command(
        commands,
        "status",
        _status,
        "whether all is well on this node: what it runs, and what of it needs a person",
        "A part that is not on this machine is said not to be, and is no problem. Whatever\n"
        "hangs is one, after 25 seconds at most.\n"
        "Exit code: 0 nothing is wrong, 1 something is: problems are listed at the end.",
    )


def _status(options: argparse.Namespace) -> int:
    import os

    from rax.cli._node._ask import ask
    from rax.cli._node.questions import QUESTIONS

    # Each question takes the rights that it needs; whether it can is known here.
    account_of_tasks()
    parts = ask(QUESTIONS)
    problems = [problem for part in parts.values() for problem in part.problems]
    if options.json:
        found: dict[str, Any] = {name: part.found for name, part in parts.items()}
        listed = [problem._asdict() for problem in problems]
        write_json({"host": os.uname().nodename, **found, "problems": listed})
    else:
        rows = []
        for name, part in parts.items():
            lines = part.lines or ["see below" if part.problems else _ABSENT]
            rows += [(name if line is lines[0] else "", line) for line in lines]
        write_table(("", ""), rows)
        for problem in problems:
            write(f"problem: {problem.component}: {problem.problem}\n")
    return 1 if problems else 0
