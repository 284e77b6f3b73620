# SPDX-License-Identifier: Apache-2.0
"""``rax check``: what is wrong with a DAG repository, before it is merged."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rax.cli._account import leave_root
from rax.cli._commands import add_command
from rax.cli._output import write_json

if TYPE_CHECKING:
    from rax.checking._stages import Result
    from rax.cli._commands import Commands

_MORE = """\
Nothing is written into the repository. Settings are in its rax.toml.
exit codes:
  0  nothing is wrong, or there are only warnings
  1  something is wrong
  3  it could not all be done; the reason is there"""
_DONE, _FOUND, _FAILED = 0, 1, 3


def add_parser(commands: "Commands") -> None:
    """Add the command to the command line."""
    check = add_command(
        commands, "check", _check, "what is wrong with a DAG repository, before it is merged", _MORE
    )
    check.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        default=Path(os.environ.get("RAX_REPOSITORY", "")),
        help="default: the repository that ./rax is in, or else this folder",
    )
    check.add_argument(
        "--since",
        metavar="REV",
        help="findings about a file alone only for files that differ from this commit",
    )


def _check(options: argparse.Namespace) -> int:
    from rax.checking import _stages
    from rax.checking._project import Project
    from rax.checking._report import Terminal

    leave_root()
    project = Project(options.path, since=options.since)
    terminal = Terminal(colours=_wants_colours())
    results = []
    for result in _stages.run(project, _stages.STAGES):
        results.append(result)
        if not options.json:
            sys.stdout.write(terminal.stage(result))
            sys.stdout.flush()
    if options.json:
        write_json(_as_json(project.root, results))
    else:
        sys.stdout.write(terminal.verdict(results))
    if any(result.failed for result in results):
        return _FAILED
    return _FOUND if any(result.problems for result in results) else _DONE


def _as_json(root: Path, results: "list[Result]") -> dict[str, object]:
    return {
        "path": str(root),
        "stages": [
            {
                "name": result.stage.name,
                "looked_at": result.outcome.looked_at,
                "skipped": result.outcome.skipped,
                "failed": result.failed,
                "seconds": round(result.seconds, 3),
                "findings": [finding._asdict() for finding in result.outcome.findings],
            }
            for result in results
        ],
    }


def _wants_colours() -> bool:
    """Return whether standard output is a terminal whose user has not said no."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()
