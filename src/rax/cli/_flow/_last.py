# SPDX-License-Identifier: Apache-2.0
"""Which cases failed when they ran last, for ``--lf``: kept beside the environments of ./rax."""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from rax._laptop import cache_folder
from rax.checking._writing import write_report
from rax.errors import CommandError
from rax.testing._runner import Chosen


class LastRun:
    """The cases of a repository that failed when they ran last."""

    def __init__(self, root: Path) -> None:
        name = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        self._file = cache_folder() / f"flows/{name}.json"
        self._failed: set[str] = set()
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._failed = set(map(str, json.loads(self._file.read_text())["failed"]))

    def chosen(self, all_of_them: list[Chosen]) -> list[Chosen]:
        """Return those that failed, or all where none of these did, as pytest does."""
        return [one for one in all_of_them if one.id in self._failed] or all_of_them

    def note(self, failed: Iterable[str], passed: Iterable[str]) -> None:
        """Keep how cases have ended; what has not run now stays as it was."""
        self._failed = (self._failed - set(passed)) | set(failed)
        # The verdicts count without it, too.
        with contextlib.suppress(CommandError):
            write_report(self._file, json.dumps({"failed": sorted(self._failed)}).encode())
