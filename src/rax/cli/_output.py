# SPDX-License-Identifier: Apache-2.0
"""What the commands print: tables for people, JSON for programs."""

import json
import os
import shutil
import sys
from collections.abc import Sequence

from rax._layout import table
from rax._printable import printable


def terminal_columns() -> int | None:
    """Return the width of the terminal; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def is_terminal() -> bool:
    """Return whether standard output is a terminal that takes more than lines."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def has_colours() -> bool:
    """Return whether standard output is to have colours."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def write(text: str) -> None:
    """Write lines to standard output; anybody may have chosen the names in them."""
    sys.stdout.write(printable(text, lines=True))


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table that fits into the terminal; into a pipe, all of it."""
    write(table(header, rows, terminal_columns()))


def write_json(value: object) -> None:
    """Write a value for programs; what JSON does not know, such as a date of YAML, as its text."""
    # Infinity and NaN become texts, too: json writes them, and other readers refuse them.
    known = json.loads(json.dumps(value, default=str), parse_constant=str)
    # DEL is the only character of ASCII that json leaves as it is and a terminal does not show.
    write(json.dumps(known, indent=2).replace("\x7f", r"\u007f") + "\n")
