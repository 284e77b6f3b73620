# SPDX-License-Identifier: Apache-2.0
"""The mistakes of a spec: each is noted where it is found, and all are told at once."""

from typing import NamedTuple

from rax.errors import RaxError
from rax.testing._model import Place

# An error shows so many; who mends these sees the next.
_MAX_SHOWN = 50


class Mistake(NamedTuple):
    """What is wrong in a line of a spec, and what may have been meant."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class SpecError(RaxError):
    """A spec says what none can say: with all its mistakes, in the order of the file."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        lines = [str(mistake) for mistake in mistakes[:_MAX_SHOWN]]
        if len(mistakes) > _MAX_SHOWN:
            lines.append(f"and {len(mistakes) - _MAX_SHOWN} more")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[tuple[Mistake, ...]]]:
        return SpecError, (self.mistakes,)
