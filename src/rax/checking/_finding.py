# SPDX-License-Identifier: Apache-2.0
"""What a stage found, and what it looked at."""

from typing import NamedTuple


class Finding(NamedTuple):
    """Something of a repository that is wrong, or may be.

    Its texts may quote what an author wrote: who shows one makes it printable.
    """

    # Relative to the root of the repository; nothing for the repository as a whole.
    file: str
    # From 1; 0 for the whole file.
    line: int
    # A short name that stays as it is, such as "syntax" or "E501".
    rule: str
    # One sentence.
    problem: str
    # What to do, where that is known.
    advice: str = ""
    # Whether it is worth a look, and no reason to refuse the commit.
    warning: bool = False
    # More of it, in a few short lines.
    details: tuple[str, ...] = ()
    # Which of the things that the stage looked at it is about, where that is not its file.
    item: str = ""


class Outcome(NamedTuple):
    """What a stage found."""

    findings: list[Finding]
    # How much it looked at, such as "12 files".
    looked_at: str
    # Why it looked at nothing, if so.
    skipped: str = ""
    # The names of what it looked at, such as files, for a report that lists what is right as well.
    names: tuple[str, ...] = ()
    # A JUnit document that says the same in its own cases, as pytest writes one.
    junit: bytes = b""
    # What a page for a pull request has as a table: the first row is its header.
    table: tuple[tuple[str, ...], ...] = ()


def count(number: int, noun: str) -> str:
    """Return a number of things in words.

    >>> count(1, "file"), count(2, "file")
    ('1 file', '2 files')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"
