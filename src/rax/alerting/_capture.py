# SPDX-License-Identifier: Apache-2.0
"""A folder that takes events in place of PagerDuty: ``RAX_ALERTING_CAPTURE``.

What runs a workflow to try it, on a laptop or in a test, shows from there what would have been
sent. The events are those that PagerDuty would have got, since all else is done as on a node.
"""

import contextlib
import errno
import itertools
import json
import os
from pathlib import Path
from typing import Self

from rax.alerting._events import Event
from rax.errors import AlertError

_SETTING = "RAX_ALERTING_CAPTURE"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def capture_folder() -> Path | None:
    """Return the folder that events go to in place of PagerDuty; None is for PagerDuty."""
    named = os.environ.get(_SETTING)
    return Path(named) if named else None


def captured(folder: Path) -> list[Event]:
    """Return the events that a folder has taken, oldest first."""
    files = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
    return [json.loads(file.read_bytes()) for file in files]


class Capture:
    """Takes events as the client of PagerDuty does, each into a file of the folder: ``1.json``, …

    :raises AlertError: the folder is none, or cannot be made
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_absolute():
            raise AlertError(f"{_SETTING} is not an absolute path: {folder}")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AlertError(f"{_SETTING}: {folder}: {error.strerror}") from None
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing open."""

    def send(self, event: Event) -> None:
        """Return once the event is in the folder, whole; an AlertError says why it is not."""
        new = self._folder / f".{os.urandom(8).hex()}.tmp"
        try:
            with open(os.open(new, _CREATE, 0o600), "w") as file:  # noqa: PTH123 - of a descriptor
                json.dump(event, file, indent=2)
            # A link takes a number that is still free, also where others take some meanwhile.
            for number in itertools.count(1):
                with contextlib.suppress(FileExistsError):
                    os.link(new, self._folder / f"{number}.json")
                    return
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise AlertError(f"{_SETTING}: {self._folder}: {reason}") from None
        finally:
            new.unlink(missing_ok=True)
