# SPDX-License-Identifier: Apache-2.0
"""The command ``rax``: what this node's workflows have, and what is wrong with it.

::

    rax credentials doctor
    rax status --json

A command is a function that takes the parsed options and returns the exit code. It is in the
module of its group, whose ``add_parser`` adds the group to the command line; to add a group, write
such a module and name it in ``_GROUPS``.
"""

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from rax import __version__
from rax._printable import one_line
from rax.cli._deployment import installed
from rax.errors import RaxError

__all__ = ["main"]

# In the order of the help. Each of these modules is imported to build the command line, so what its
# commands need is imported inside of their functions.
_GROUPS = ("status", "credentials", "config", "alerts", "repository", "check", "new", "run", "flow")

EXIT_CODES = """\
exit codes:
  0    fine
  1    done, and something that the command looks for is wrong: it says what
  2    the command line is wrong
  3    it could not be done; the reason is on standard error
  130  interrupted
"""
FAILED = 3
_MAX_PROBLEM_CHARACTERS = 4000
_INTERRUPTED = 130
# The exit code by which a shell says that SIGPIPE has ended a program.
_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, those of the process by default.

    Return the exit code, one of EXIT_CODES; raise SystemExit where argparse ends the program.
    """
    for stream in (sys.stdout, sys.stderr):
        # The text of a file may hold characters that the locale's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        parser = _parser()
        if "_ARGCOMPLETE" in os.environ:
            return _complete(parser)
        options = parser.parse_args(arguments)
        if options.run is None:
            options.parser.print_help()
            return 2
        code: int = options.run(options)
        sys.stdout.flush()
    except RaxError as error:
        return _failed(str(error))
    except BrokenPipeError:
        # Nothing more can be written, and the end of the process must not try to.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        return _failed(": ".join(str(part) for part in (error.filename, error.strerror) if part))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _failed(problem: str) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"rax: {one_line(problem, _MAX_PROBLEM_CHARACTERS)}\n")
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rax",
        description="Look at what the workflows of this node have, and at what is wrong with it.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.set_defaults(run=None, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name in _GROUPS:
        importlib.import_module(f"rax.cli.{name}").add_parser(commands)
    return parser


def _version() -> str:
    deployment = installed()
    if deployment is None:
        return f"rax {__version__}"
    ref, commit, python = map(one_line, deployment[1:])
    commit = "" if ref == commit else f"commit {commit}, "
    return f"rax {__version__} of {ref} ({commit}Python {python})"


def _complete(parser: argparse.ArgumentParser) -> int:
    """Answer the shell, which has asked how the words of its command line go on."""
    try:
        argcomplete: Any = importlib.import_module("argcomplete")
    except ImportError:
        # The command itself must not run at a press of the Tab key.
        return FAILED
    # This call ends the process.
    argcomplete.autocomplete(parser)
    return 0
