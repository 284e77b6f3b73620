# SPDX-License-Identifier: Apache-2.0
"""What is shown of a run on a laptop: the author's lines, and all warnings and errors.

Airflow writes a hundred lines for six tasks. Of its lines of JSON, those stay that an author's code
has logged, and all warnings and errors; what is no such line was printed, and stays.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rax.alerting._secrets import mask

# What Airflow, what it brings and rax itself log of a run that goes well. "airflow.task" alone is
# what authors call a logger of their own, as Airflow's documentation does.
_OTHERS = re.compile(
    r"(airflow(?!\.task$|\.task\.operators\.(?!airflow\.|rax\.))|alembic|httpx|httpcore|sqlalchemy|task|rax\.alerting)(\.|$)"
)
_WORSE = ("warning", "error", "critical")
_STEP = re.compile(r"\[DAG TEST\] (starting|end) task_id=(\S+) map_index=(-?\d+)")
_STEPS = "airflow.sdk.definitions.dag"
_WORKFLOW = "rax.workflow"
_REPORT = re.compile(r"\S+ \(.*\), run \S+: (success|failed|skipped)( |\n|$)")
_STRUCTURED = '{"kind": "workflow_summary"'
# How the summary ends a failed run, of which its report has told.
_TOLD = "RunFailedError"
# What is said once more: of each file that could not be loaded, and each second in which a task
# waits to be tried again.
_REPEATED = ("Error loading DAG from ", "No tasks to run. unrunnable tasks")
# Beside an error, these tell nothing.
_EMPTY_WORDS = ("Task failed with exception", "Unhandled exception")
_MISSING = re.compile(
    r"no credential '([A-Za-z0-9][A-Za-z0-9._-]*)' in |conn_id [`']([^`']+)[`'] isn't defined"
)


class Output:
    """The lines of a run, shown as they come.

    :param root: of the repository: of a traceback, only frames of its files are shown
    :param secrets: the spellings of what is not to be shown
    :param show: takes a text of some lines
    :param everything: whether Airflow's own lines are shown, too
    """

    def __init__(
        self, root: Path, secrets: list[str], show: Callable[[str], None], *, everything: bool
    ) -> None:
        self._root = root
        self._secrets = secrets
        self._show = show
        self._everything = everything
        self._shown_task = ""
        # What was wrong before the first task: dag.test() loads all files once more.
        self._told: set[str] = set()
        self.task = ""
        """What runs now, or nothing."""
        self.is_begun = False
        """Whether a task has begun."""
        self.report = ""
        self.summary: dict[str, Any] | None = None
        self.missing: dict[str, None] = {}
        """The names of credentials that were asked for and are not there, in their order."""

    def line(self, text: str) -> None:
        """Take a line of the run's output."""
        record = _record(text)
        if record is None:
            self._tell(text)
            return
        event, logger = str(record["event"]), str(record["logger"])
        if logger == _STEPS and (step := _STEP.match(event)):
            self._step(*step.groups())
        self._look_for_missing(event)
        if logger == _WORKFLOW and self._is_report(event) and not self._everything:
            return
        level = str(record["level"])
        exceptions = _dicts(record.get("exception") or record.get("error_detail"))
        lines = [*self._exceptions(exceptions)]
        if not lines or event not in _EMPTY_WORDS:
            lines.insert(0, event)
        if self._everything:
            self._tell("\n".join([f"{level.upper():8} {logger}: {lines[0]}", *lines[1:]]))
        elif level in _WORSE:
            if not event.startswith(_REPEATED) and not _is_told(exceptions):
                self._tell("\n".join([f"{level.upper()}: {lines[0]}", *lines[1:]]))
        elif not _OTHERS.match(logger):
            self._tell(event)

    def masked(self, text: str) -> str:
        """Return a text without the secrets of this laptop's credentials."""
        return str(mask(text, self._secrets))

    def _step(self, step: str, task_id: str, index: str) -> None:
        name = task_id if int(index) < 0 else f"{task_id}[{index}]"
        self.task = name if step == "starting" else ""
        self.is_begun = True

    def _tell(self, text: str) -> None:
        self._look_for_missing(text)
        if not self.is_begun:
            if text in self._told:
                return
            self._told.add(text)
        if self.task != self._shown_task:
            self._shown_task = self.task
            if self.task:
                self._show(f"{self.task}\n")
        indent = "  " if self.task else ""
        self._show("".join(f"{indent}{line}\n" for line in self.masked(text).split("\n")))

    def _is_report(self, event: str) -> bool:
        """Keep the report of the summary, and its line for programs, which are shown at the end."""
        if event.startswith(_STRUCTURED):
            with contextlib.suppress(ValueError):
                self.summary = json.loads(self.masked(event))
            return True
        if _REPORT.match(event):
            self.report = self.masked(event)
            return True
        return False

    def _exceptions(self, exceptions: list[dict[str, Any]]) -> Iterator[str]:
        """Yield the lines of a traceback: each error, and the frames of the author's own files."""
        # An error comes before what has caused it.
        for error in reversed(exceptions):
            kind, value = str(error.get("exc_type", "")), str(error.get("exc_value", ""))
            self._look_for_missing(value)
            yield f"{kind}: {value}" if value else kind
            for frame in _dicts(error.get("frames")):
                file = Path(str(frame.get("filename", "")))
                if file.is_relative_to(self._root):
                    where = f"{file.relative_to(self._root)}:{frame.get('lineno')}"
                    yield f"  {where} in {frame.get('name')}"

    def _look_for_missing(self, text: str) -> None:
        for match in _MISSING.finditer(text):
            self.missing[match[1] or match[2]] = None


def _record(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    needed = {"timestamp", "level", "event", "logger"}
    return found if isinstance(found, dict) and needed <= found.keys() else None


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return the dicts of a list: what an author prints may only look like a line of Airflow's."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_told(exceptions: list[dict[str, Any]]) -> bool:
    return bool(exceptions) and exceptions[0].get("exc_type") == _TOLD
