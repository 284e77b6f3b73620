# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the looks before have left: the problems that were seen, and the incidents of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from caspian_control.documents import Fields, ReportError, read_json
from caspian_control.health_report import Where
from caspian_control.pagerduty import NONE, OPEN, UNSURE

VERSION = 1


@dataclass
class Sighting:
    """A problem that was seen."""

    # What was said of it last.
    problems: list[str]
    # When it was seen first, and at how many looks.
    since: int
    looks: int = 0
    # At how many looks in a row it was not seen since.
    gone: int = 0
    # The key of its incident; nothing while it waits.
    incident: str = ""


@dataclass
class State:
    """What is remembered between looks."""

    report: str = ""
    last_run: int = 0
    last_run_success: bool = False
    sightings: dict[Where, Sighting] = field(default_factory=dict)
    # What PagerDuty knows of the incident of each key.
    incidents: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; whatever is not as it was written is an error, since nobody else edits it."""
        document = read_json(path)
        if document is None:
            return cls()
        top = Fields(document, str(path))
        if top.values.get("version") != VERSION:
            raise ReportError(f"{path} is not of this version")
        state = cls(
            report=top.get("report", str),
            last_run=top.get("last_run", int),
            last_run_success=top.flag("last_run_success"),
        )
        incidents = Fields(top.get("incidents", dict), f"{path}: incidents")
        for key in incidents.values:
            state.incidents[key] = incidents.get(key, str)
            if state.incidents[key] not in (NONE, UNSURE, OPEN):
                raise ReportError(f"{path}: incidents.{key} is not as it was written")
        for number, entry in enumerate(top.get("sightings", list)):
            where, sighting = _sighting(Fields(entry, f"{path}: sightings[{number}]"))
            if sighting.incident and sighting.incident not in state.incidents:
                raise ReportError(f"{path}: sightings[{number}] is of no incident")
            state.sightings[where] = sighting
        return state

    def text(self) -> str:
        """Return the content of its file."""
        sightings = [
            {**where._asdict(), **asdict(sighting)} for where, sighting in self.sightings.items()
        ]
        document = {**vars(self), "version": VERSION, "sightings": sightings}
        return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _sighting(entry: Fields) -> tuple[Where, Sighting]:
    problems = entry.get("problems", list)
    if not problems or not all(isinstance(problem, str) for problem in problems):
        raise ReportError(f"{entry.name}.problems is not as it was written")
    numbers = {key: entry.get(key, int) for key in ("since", "looks", "gone")}
    where = Where(*(entry.get(key, str) for key in Where._fields))
    return where, Sighting(problems, **numbers, incident=entry.get("incident", str))
