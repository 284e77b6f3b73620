# SPDX-License-Identifier: Apache-2.0
"""``rax flow``: workflows in the cases of their specs, and what each task's data is like then."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rax.cli._account import leave_root
from rax.cli._commands import add_command
from rax.cli._on_laptops import repository_to_run
from rax.cli._output import write, write_json
from rax.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rax.cli._commands import Commands

_MORE = """\
A spec is a file tests/flows/WORKFLOW.flow.yaml: in which cases the workflow is run, what it is
given then, and what is expected of it. Each case has a process, a folder, databases and a network
of its own. Nothing is written into the repository.
commands:
  rax flow new WORKFLOW   write a spec to begin with
  rax flow record         write what is found where a spec names a golden
  rax flow schema         print the JSON Schema of specs, for editors
exit codes:
  0  all cases passed
  1  some have differences
  3  it could not all be done; the reason is there"""
_RECORD = """\
Runs the cases, and writes what a query or a file gives into the golden that the spec names, beside
it. Look at each with `git diff`: what is there is what the workflow does, be it right or wrong."""
_NEW = """\
Writes tests/flows/WORKFLOW.flow.yaml with every task, and cases for good data, each failing check,
each source that is down and an empty target. What only you can know is marked there. A spec that is
there is never written over."""
_NOT_ON_A_CLUSTER = ("watch", "keep", "logs")
_INSTEAD = "run the specs on a laptop or in CI"


def add_parser(commands: "Commands") -> None:
    """Add the command, and those that begin with it, to the command line."""
    flow = add_command(commands, "flow", _flow, "workflows in the cases of their specs", _MORE)
    _add_choice(flow)
    flow.add_argument("--lf", action="store_true", help="only those that failed last, if any did")
    flow.add_argument("-x", action="store_true", help="end at the first case that fails")
    flow.add_argument("--watch", action="store_true", help="run them again after each edit")
    flow.add_argument(
        "--keep", action="store_true", help="leave a case's databases up until Enter is pressed"
    )
    flow.add_argument("--logs", action="store_true", help="show what your code logs and prints")
    flow.add_argument(
        "--junit", metavar="DIR", type=Path, help="write a JUnit file, rax-flow.xml, into DIR"
    )
    flow.add_argument(
        "--target",
        metavar="URL",
        nargs="?",
        const="",
        help="run what says target on the cluster whose API is there (default: the url of the "
        "credential)",
    )
    flow.add_argument(
        "--credential",
        metavar="NAME",
        default="",
        help="whose user and password the cluster is asked with (default: what rax.toml says, or "
        "AIRFLOW-STAGING-01)",
    )
    # A group of its own beside the command: its first word is a command, or else a spec.
    others = argparse.ArgumentParser(prog=flow.prog).add_subparsers()
    record = add_command(others, "record", _record, "write what is found into goldens", _RECORD)
    _add_choice(record)
    # Only to say why not.
    record.add_argument("--target", nargs="?", const="", help=argparse.SUPPRESS)
    new = add_command(others, "new", _new, "write a spec to begin with", _NEW)
    new.add_argument("workflow", metavar="WORKFLOW", help="the id of its DAG")
    add_command(others, "schema", _schema, "print the JSON Schema of specs")
    _dispatch(flow, others)


def _add_choice(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "specs",
        metavar="SPEC",
        nargs="*",
        help="a file, a folder, or FILE::CASE (default: all below tests/flows)",
    )
    command.add_argument(
        "-k", metavar="EXPRESSION", default="", help="parts of names, with and, or and not"
    )
    command.add_argument(
        "--max-seconds",
        metavar="N",
        type=_seconds,
        help="how long a case may take with all its runs (default: what rax.toml says, or 600)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _dispatch(flow: argparse.ArgumentParser, others: "Commands") -> None:
    """Have a first word that is one of the other commands be parsed as such.

    argparse itself takes either commands or other words.
    """
    parse = flow.parse_known_args

    def parse_known_args(args: "Sequence[str]", namespace: Any = None) -> Any:
        if args and args[0] in others.choices:
            return others.choices[args[0]].parse_known_args(args[1:], namespace)
        return parse(args, namespace)

    flow.parse_known_args = parse_known_args  # type: ignore[method-assign,assignment]  # see above
    # For whoever lists all commands.
    flow.others = others.choices  # type: ignore[attr-defined]  # argparse does not know it


def _flow(options: argparse.Namespace) -> int:
    from rax.cli._flow._run import run, watch

    _check_target(options)
    leave_root()
    root = repository_to_run(_INSTEAD)
    return watch(root, options) if options.watch else run(root, options)


def _check_target(options: argparse.Namespace) -> None:
    """Refuse options that are of cases on a laptop, or on a cluster, alone."""
    if options.target is None:
        if options.credential:
            raise CommandError("--credential is that of the cluster which --target names")
        return
    for name in _NOT_ON_A_CLUSTER:
        if getattr(options, name):
            raise CommandError(
                f"--{name} is for cases that run here: --target runs them on a cluster, where their"
                " data and logs stay"
            )


def _record(options: argparse.Namespace) -> int:
    from rax.cli._flow._record import record_cases

    if options.target is not None:
        raise CommandError("goldens hold what cases give here: rax flow record takes no --target")
    return record_cases(repository_to_run(_INSTEAD), options)


def _new(options: argparse.Namespace) -> int:
    from rax.testing._drafting import new_spec

    root = repository_to_run(_INSTEAD)
    path = str(new_spec(root, options.workflow))
    if options.json:
        write_json({"root": str(root), "written": [path]})
    else:
        write(f"written:\n  {path}\nnext: fill in what is marked in it, then ./rax flow {path}\n")
    return 0


def _schema(_options: argparse.Namespace) -> int:
    from rax.testing._specs import schema

    write_json(schema())
    return 0
