# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials that a node is to have, and how what it has differs from them.

Nothing here touches a file.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.caspian.airflow.plugins.module_utils import credential_status
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import (
    Changes,
    changes_diff,
)

KINDS = ("added", "updated", "repaired", "removed", "kept", "layout")


@dataclasses.dataclass
class DesiredSet:
    """The set that a task asks for."""

    credentials: dict[str, dict[str, Any]]
    # Why a record could not be had this time, by the name of its source.
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    # The names that nobody asked the vault for this time.
    keep: list[str] = dataclasses.field(default_factory=list)

    def names(self) -> list[str]:
        """Return the names of all sources."""
        return list(dict.fromkeys([*self.credentials, *self.problems, *self.keep]))

    def staying(self) -> list[str]:
        """Return the names whose last good file stays."""
        return [name for name in self.names() if name not in self.credentials]


@dataclasses.dataclass
class Plan:
    """The set that is asked for, and how the one on the disk differs from it."""

    desired: DesiredSet
    contents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    unchanged: set[str] = dataclasses.field(default_factory=set)
    added: list[str] = dataclasses.field(default_factory=list)
    updated: list[str] = dataclasses.field(default_factory=list)
    repaired: list[str] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    layout: list[str] = dataclasses.field(default_factory=list)
    notified: list[str] = dataclasses.field(default_factory=list)
    # What the status file says of each source.
    entries: dict[str, credential_status.Entry] = dataclasses.field(default_factory=dict)
    differences: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def needs_generation(self) -> bool:
        """Whether anything differs that only a new generation puts right."""
        names = self.added or self.updated or self.repaired or self.removed
        return bool(names or {"link", "directory"} & set(self.layout))

    def note(self, name: str, changes: Changes) -> None:
        """Note how an existing file differs."""
        if "content" in changes:
            self.updated.append(name)
        if changes.keys() - {"content"}:
            self.repaired.append(name)
        self.differences[name] = (
            ", ".join(f"{kind}: {found}" for kind, (found, _wanted) in changes.items()),
            ", ".join(f"{kind}: {wanted}" for kind, (_found, wanted) in changes.items()),
        )

    def put_in_order(self, part: str) -> None:
        """Note once that a part around the files is out of order."""
        if part not in self.layout:
            self.layout.append(part)

    def changes(self) -> dict[str, list[str]]:
        """Return the names by kind of change."""
        return {kind: sorted(getattr(self, kind)) for kind in KINDS}

    def result(self) -> dict[str, Any]:
        """Return what the module returns."""
        return {
            "changed": bool(self.needs_generation or self.layout or self.notified),
            **self.changes(),
            "notified": self.notified,
            "summary": credential_status.summary(self.entries),
        }

    def diff(self, path: str) -> dict[str, Any]:
        """Return what Ansible shows with --diff: names and kinds of change, never values."""
        found = dict.fromkeys(self.added, ("absent", "present"))
        found |= dict.fromkeys(self.removed, ("present", "absent"))
        found |= {f"({part})": ("out of order", "in order") for part in self.layout}
        found |= self.differences
        return changes_diff(path, dict(sorted(found.items())))
