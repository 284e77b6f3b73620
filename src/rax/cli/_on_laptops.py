# SPDX-License-Identifier: Apache-2.0
"""What runs workflows on a laptop, and never on a node, which has production's credentials."""

import contextlib
import importlib.util
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rax import _laptop
from rax.errors import CommandError


def repository_to_run(instead: str) -> Path:
    """Return the repository whose workflows may be run here, which has Airflow.

    :param instead: what to do where this is a node
    :raises CommandError: this is a node, or in no repository, or Airflow is not here
    """
    if _laptop.NODE.exists():
        raise CommandError(f"this is a node, with the credentials of production: {instead}")
    root = _laptop.find_root()
    if importlib.util.find_spec("airflow") is None:
        raise CommandError("Airflow is not here: ./rax of the repository has the nodes' packages")
    return root


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have whatever asks this process to end raise KeyboardInterrupt, so that it leaves nothing.

    SIGINT too, which a shell has this ignore where it is in the background.
    """
    handlers = {
        number: signal.signal(number, _interrupt)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
