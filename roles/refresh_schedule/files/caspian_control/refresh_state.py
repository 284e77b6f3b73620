# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs before have left, for the metrics and for alerting once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caspian_control.documents import Fields, ReportError, read_json
from caspian_control.fleet_report import Report
from caspian_control.pagerduty import NONE, OPEN, UNSURE
from caspian_control.text import one_line


@dataclass
class State:
    """What is remembered between runs."""

    report: str = ""
    last_run: int = 0
    last_run_success: bool = False
    last_success: int = 0
    last_report: int = 0
    duration: int = -1
    failures: int = 0
    failing_since: int = 0
    alert: str = NONE
    dedup_key: str = ""
    unsent: bool = False
    vault_up: bool = False
    vault_copy_of: int = 0
    problems: int = 0
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; whatever is not as it was written is an error, since nobody else edits it."""
        document = read_json(path)
        if document is None:
            return cls()
        state = cls()
        fields = Fields(document, str(path))
        if fields.values.get("version") != 1:
            raise ReportError(f"{path} is not of this version")
        for name, default in vars(state).items():
            # What an older version of this did not know yet.
            value = fields.values.get(name, default if name == "vault_copy_of" else None)
            if type(value) is not type(default):
                raise ReportError(f"{path}: {name} is not as it was written")
            setattr(state, name, value)
        if state.alert not in (NONE, UNSURE, OPEN):
            raise ReportError(f"{path}: alert is not as it was written")
        for host, values in state.hosts.items():
            check_host(Fields(values, f"{path}: hosts.{one_line(host)}"))
        return state

    def record_run(self, *, failed: bool, stopped: bool, report: Report | None, now: int) -> None:
        """Note a run; what it did not learn stays."""
        self.last_run = now
        self.last_run_success = not failed and not stopped
        if stopped:
            return
        if failed:
            self.failures += 1
            self.failing_since = self.failing_since or now
        else:
            self.failures = self.failing_since = 0
            self.last_success = now
        if report:
            self.record_report(report)

    def record_report(self, report: Report) -> None:
        """Note what the run did to the hosts."""
        self.report = report.identity
        self.last_report = report.ended
        self.duration = -1 if report.started is None else max(report.ended - report.started, 0)
        self.vault_up = not report.vault_error
        self.vault_copy_of = report.copy_of or 0
        self.problems = len(report.problems)
        # A report without a vault may lack hosts; any other names all that there are.
        if self.vault_up:
            self.hosts = {name: self.hosts.get(name, {}) for name in report.hosts}
        for name, host in report.hosts.items():
            known = self.hosts.setdefault(name, {})
            known["delivered"] = int(host.state == "delivered")
            if known["delivered"]:
                known["delivered_at"] = report.ended
            known.setdefault("delivered_at", 0)
            known.setdefault("counts", {})
            known.setdefault("oldest", None)
            if host.counts is not None:
                known["counts"], known["oldest"] = dict(host.counts), host.oldest


def check_host(known: Fields) -> None:
    """Raise ReportError where what is remembered of a host is not as it was written."""
    known.get("delivered", int)
    known.get("delivered_at", int)
    known.get("oldest", int, optional=True)
    counts = Fields(known.get("counts", dict), f"{known.name}.counts")
    for key in counts.values:
        counts.get(key, int)
