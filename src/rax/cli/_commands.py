# SPDX-License-Identifier: Apache-2.0
"""What the groups add themselves to the command line with, so that all do it in the same way."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rax._laptop import here, use_local
from rax.cli._account import leave_root
from rax.errors import RaxError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Run = Callable[[argparse.Namespace], int]


def add_group(commands: "Commands", name: str, text: str) -> "Commands":
    """Add a group of commands, and return what its commands are added to."""
    group = commands.add_parser(name, help=text, description=text)
    group.set_defaults(parser=group)
    return group.add_subparsers(metavar="COMMAND", title="commands")


def add_command(
    commands: "Commands", name: str, run: Run, text: str, more: str = ""
) -> argparse.ArgumentParser:
    """Add a command that prints for people, or as JSON if that is asked for.

    :param text: one line for the list of commands
    :param more: what its own help says besides, exit codes for example
    """
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
    command.set_defaults(run=run, parser=command)
    return command


def add_repository(command: argparse.ArgumentParser) -> None:
    """Add the argument ``path`` to a command: the DAG repository that it looks at."""
    command.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        default=here(),
        help="default: the repository that ./rax is in, or else this folder",
    )


def complete(action: argparse.Action, names: Callable[[], Iterable[str]]) -> None:
    """Have the shell offer these names for an argument; on a node that lacks them, none."""

    def completer(**_: object) -> list[str]:
        try:
            # Root's Tab key must not look for names in the folders of another account.
            leave_root()
            use_local()
            return list(names())
        except (RaxError, OSError):
            return []

    # An attribute that argcomplete looks for, and argparse does not know.
    action.completer = completer  # type: ignore[attr-defined]  # see above
