# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: one command for each timer."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from caspian_control import __doc__ as description
from caspian_control import refresh, watch
from caspian_control.documents import ReportError
from caspian_control.lock import locked
from caspian_control.text import complain

# For PagerDuty. Whoever holds the lock is bounded by it too, and needs a little more.
MAX_ALERT_SECONDS = 20.0
LOCK_MARGIN_SECONDS = 5.0


class Parser(argparse.ArgumentParser):
    """A parser that leaves the exit code to us."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        raise ReportError(f"arguments: {message}")


def parse_arguments(arguments: Iterable[str], version: str) -> argparse.Namespace:
    """Return the settings, with the function that they are for."""
    parser = Parser(
        prog="caspian_control",
        description=(description or "").partition("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, module in (("refresh", refresh), ("watch", watch)):
        command = commands.add_parser(name, help=module.__doc__, allow_abbrev=False)
        command.set_defaults(run=module.run)
        command.add_argument("--report", type=Path, required=True, help="the playbook's report")
        command.add_argument("--state", type=Path, required=True, help="what this remembers")
        command.add_argument(
            "--source", required=True, help="this host's name, for people and PagerDuty"
        )
        command.add_argument(
            "--alert", metavar="CREDENTIAL", help="PagerDuty's routing key; none: no alerts"
        )
        command.add_argument(
            "--limit", type=float, default=MAX_ALERT_SECONDS, help="seconds for alerts"
        )
        module.add_arguments(command)
    settings = parser.parse_args(list(arguments))
    if getattr(settings, "after", 1) < 1:
        parser.error("--after is less than 1")
    if not 0 < settings.limit <= 600:
        parser.error("--limit is not between 0 and 600 seconds")
    return settings


def place_of(trace: TracebackType | None) -> str:
    """Return where an error was raised."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    if not trace:
        return "line 0"
    return f"line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name}"


def main(version: str = "of a checkout", arguments: Iterable[str] | None = None) -> None:
    """Do what is asked; nothing that goes wrong here is the playbook's failure."""
    try:
        settings = parse_arguments(sys.argv[1:] if arguments is None else arguments, version)
        with locked(settings.state, settings.limit + LOCK_MARGIN_SECONDS):
            settings.run(settings, os.environ, time.time())
    except ReportError as error:
        complain(str(error))
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
    except Exception as error:
        # Its message stays out: nobody knows what it holds.
        place = place_of(error.__traceback__)
        complain(f"unexpected {type(error).__name__} in {place}; please report it")


if __name__ == "__main__":
    main()
