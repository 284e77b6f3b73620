# SPDX-License-Identifier: Apache-2.0
"""The answer to a question."""

import time
from typing import Any, NamedTuple

from rax._layout import duration


class Problem(NamedTuple):
    """Something that needs a person.

    Component and kind stay the same for as long as the problem does, so that a monitoring system
    can tell an old one from a new one. The kinds are listed in docs/operations.md.
    """

    component: str
    kind: str
    # A sentence for people.
    problem: str


class Part(NamedTuple):
    """What was found of a part of the node."""

    # For programs; None is a part that is not on this machine.
    found: Any
    # For people.
    lines: list[str]
    problems: list[Problem]


ABSENT = Part(None, [], [])


def timestamp(seconds: float) -> str:
    """Return a time as all reports have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def ago(seconds: float) -> str:
    """Return how long ago a time was, in words; one in the future was just now."""
    return f"{duration(max(0.0, time.time() - seconds))} ago"
