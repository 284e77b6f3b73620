# SPDX-License-Identifier: Apache-2.0
"""Cases, run and judged: the one way of ``rax flow``, ``rax check`` and the plugin of pytest."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rax.checking._settings import Flows
from rax.testing._judging import Difference, judge
from rax.testing._model import Case, RunKind, Spec, TaskKey
from rax.testing._outputs import CaseOutput


class Chosen(NamedTuple):
    """A case to run, and the spec that it is of."""

    spec: Spec
    case: Case

    @property
    def id(self) -> str:
        """What pytest calls it, too: the file below the repository, and the name of the case."""
        return f"{self.spec.place.file}::{self.case.name}"


@dataclass(frozen=True)
class Verdict:
    """How a case has ended."""

    chosen: Chosen
    output: CaseOutput
    # In what it is not as the spec has it; nothing where all is.
    differences: tuple[Difference, ...]
    seconds: float


class LeftOut(NamedTuple):
    """A case that is not run where others are, and why."""

    chosen: Chosen
    reason: str


class Cases(Protocol):
    """What runs a case, as the server of the engine does."""

    def wait_until_ready(self) -> float:
        """Return the seconds of its start, after it; 0 where it had been ready."""

    def run(
        self,
        spec: Spec,
        case: Case,
        *,
        max_seconds: float,
        keep: bool = False,
        on_task: Callable[[RunKind, TaskKey], None] | None = None,
    ) -> CaseOutput:
        """Return what a case gave."""


class Progress:
    """Is told what happens; this one does nothing with it."""

    def ready(self, seconds: float) -> None:
        """Hear that Airflow has started, and how long that took."""

    def case(self, chosen: Chosen) -> None:
        """Hear that a case begins."""

    def task(self, kind: RunKind, key: TaskKey) -> None:
        """Hear that a task of it begins."""

    def waits(self, kind: RunKind, text: str) -> None:
        """Hear what a run of it waits for."""


def run_cases(
    server: Cases,
    chosen: Iterable[Chosen],
    *,
    max_seconds: float = Flows.max_seconds,
    keep: bool = False,
    progress: Progress | None = None,
) -> Iterator[Verdict]:
    """Run the cases one after another, and yield the verdict on each as soon as it is there.

    :param max_seconds: how long a case may take with all its runs; one that takes longer fails
    :param keep: whether the databases of a case stay up, for the lines of ``output.kept``
    """
    progress = progress or Progress()
    for one in chosen:
        if seconds := server.wait_until_ready():
            progress.ready(seconds)
        progress.case(one)
        began = time.monotonic()
        output = server.run(
            one.spec, one.case, max_seconds=max_seconds, keep=keep, on_task=progress.task
        )
        yield Verdict(one, output, judge(one.case, output), time.monotonic() - began)
