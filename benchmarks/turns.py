# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways that are compared take turns, so that the machine's other work meets all of them.

Standard library only, since it also runs inside nodes.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# A stage by its name: its function, what it is told, and what it is told in a quick run.
Stages = Mapping[str, tuple[Callable[..., dict[str, Any]], tuple[int, ...], tuple[int, ...]]]


class WrongMeasureError(Exception):
    """What was run is not what is to be measured."""


def in_turns(names: Sequence[str], round_number: int) -> list[str]:
    """Return the order of a round: each time another one is the first."""
    first = round_number % len(names)
    return [*names[first:], *names[:first]]


def compare(
    ways: Mapping[str, Callable[[], float]],
    rounds: int,
    begin_round: Callable[[int], object] = lambda _: None,
) -> dict[str, list[float]]:
    """Return the seconds of each way, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        begin_round(number)
        for name in in_turns([*ways], number):
            seconds[name].append(ways[name]())
    return seconds


def run_stage(stages: Stages, name: str, *, quick: bool, more: Sequence[object] = ()) -> int:
    """Run a stage, and print what it found as a line of JSON."""
    stage, rounds, few = stages[name]
    try:
        print(json.dumps(stage(*(few if quick else rounds), *more)))
    except WrongMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
