# SPDX-License-Identifier: Apache-2.0
"""In what a case is not as its spec has it."""

import enum
from dataclasses import dataclass

from rax.testing._model import Place, RunKind


class Kind(enum.StrEnum):
    """The kind of an expectation that was not met."""

    # The case hung or ended its process, so that it has no further run.
    TROUBLE = "trouble"
    # A task tried to reach what the case is not given.
    DENIED = "denied"
    # Of the run or a task; also which check failed, and what was skipped.
    STATE = "state"
    RETURNS = "returns"
    TABLE = "table"
    FILE = "file"
    ALERTS = "alerts"
    # It is about a task, or an instance of one, that the run does not have.
    UNKNOWN_TASK = "unknown-task"


@dataclass(frozen=True)
class Difference:
    """What is not as the spec has it, fit to be shown: its secrets are masked."""

    # Where the spec says what was expected.
    place: Place
    # None is the case as a whole.
    run: RunKind | None
    # Of what: a task, and a query or a file; nothing for the run as a whole.
    subject: str
    # The first line says it all; those that may follow are details.
    text: str
    kind: Kind

    @property
    def headline(self) -> str:
        """Where it is and what differs, in a line."""
        return ": ".join(
            part for part in (self.run or "", self.subject, self.text.partition("\n")[0]) if part
        )

    @property
    def details(self) -> tuple[str, ...]:
        """Return the lines below the headline."""
        return tuple(self.text.split("\n")[1:])

    def __str__(self) -> str:
        return "\n    ".join([f"{self.place}: {self.headline}", *self.details])
