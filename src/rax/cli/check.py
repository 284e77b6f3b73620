# SPDX-License-Identifier: Apache-2.0
"""``rax check``: what is wrong with a DAG repository, before it is merged."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rax._layout import ERASED
from rax.cli._account import leave_root
from rax.cli._commands import add_command, add_repository
from rax.cli._output import has_colours, is_terminal, write_json

if TYPE_CHECKING:
    from rax.checking._project import Project
    from rax.checking._stages import Result, Stage
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
    add_repository(check)
    check.add_argument("--fast", action="store_true", help="look at files and DAGs alone")
    check.add_argument(
        "--gate",
        action="store_true",
        help="do what a node does before it publishes: without ruff, git, tests and flows, and "
        "with the names of its own credentials",
    )
    check.add_argument(
        "--since",
        metavar="REV",
        help="leave out what is about single files that do not differ from this commit",
    )
    check.add_argument(
        "--unittest",
        action="store_true",
        help="have unittest find the tests that pytest finds, too",
    )
    check.add_argument(
        "--junit", metavar="DIR", type=Path, help="write a JUnit file for each stage into DIR"
    )
    check.add_argument(
        "--markdown", metavar="FILE", type=Path, help="write a summary for a pull request"
    )


def _check(options: argparse.Namespace) -> int:
    from rax.checking import _junit, _markdown, _stages
    from rax.checking._project import Project
    from rax.checking._writing import remove_report

    leave_root()
    if options.junit is not None:
        _junit.remove(options.junit)
    if options.markdown is not None:
        remove_report(options.markdown)
    project = Project(
        options.path, since=options.since, gate=options.gate, unittest=options.unittest
    )
    stages = [
        one
        for one in _stages.STAGES
        if one.name in _stages.FAST or not (options.fast or options.gate)
    ]
    if options.json:
        results = [_stages.run(project, stage) for stage in stages]
        write_json(_as_json(project.root, results))
    else:
        results = _shown(project, stages)
    if options.junit is not None:
        _junit.write(options.junit, results)
    if options.markdown is not None:
        _markdown.write(options.markdown, results, project.prefix)
    if any(result.failed for result in results):
        return _FAILED
    return _FOUND if any(result.problems for result in results) else _DONE


def _shown(project: "Project", stages: "list[Stage]") -> "list[Result]":
    """Run the stages, and show what each found as soon as it ends."""
    from rax.checking import _stages
    from rax.checking._report import Terminal

    terminal = Terminal(colours=has_colours())
    results = []
    for stage in stages:
        if is_terminal():
            sys.stdout.write(terminal.progress(stage))
            sys.stdout.flush()
        results.append(_stages.run(project, stage))
        sys.stdout.write(ERASED * is_terminal() + terminal.stage(results[-1]))
        sys.stdout.flush()
    sys.stdout.write(terminal.verdict(results))
    return results


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
