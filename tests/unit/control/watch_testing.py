"""A control node's watch over the cluster, in a folder: looks at it, and what PagerDuty gets."""

import json
from datetime import UTC, datetime

from tests.unit.control.report_testing import SUCCESS, run_launcher

# What the unit takes for a success, too.
FOUND = SUCCESS | {"EXIT_STATUS": "2"}
EPOCH = 1793520000
MINUTES = 60


def problem(host, component="worker", kind="inactive", text=None):
    """Return a problem as health.yml tells it."""
    sentence = text or f"{component} is {kind}"
    return {"host": host, "component": component, "kind": kind, "problem": sentence}


class Watch:
    """The files of a control node, and the looks of its unit, five minutes apart."""

    hosts = ("control1", "scheduler1", "worker1", "worker2")

    def __init__(self, path, module, launcher, monkeypatch):
        self.report_file = path / "health.json"
        self.state_file = path / "watch.json"
        self.refresh_file = path / "refresh.json"
        self.module = module
        self.launcher = launcher
        self.monkeypatch = monkeypatch
        self.now = EPOCH
        self.options = ["--alert", "PAGERDUTY"]
        self.sent = []
        # What PagerDuty is, as far as `look` goes: an answer for each key that has it, or for all.
        self.refused = {}
        # Whether a scheduler has said how the cluster is.
        self.sees_cluster = True
        self.problem = ""

    @property
    def arguments(self):
        return [
            *("watch", "--report", str(self.report_file), "--state", str(self.state_file)),
            *("--refresh-state", str(self.refresh_file), "--source", "control1", *self.options),
        ]

    def report(self, *problems):
        """Return what the playbook would report now."""
        states = dict.fromkeys(self.hosts, "answered")
        states |= {one["host"]: one["kind"] for one in problems if one["component"] == "node"}
        return {
            "checked_at": datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "hosts": {host: {"state": state} for host, state in states.items()},
            "cluster": {"state": "answered" if self.sees_cluster else "unasked"},
            "problems": list(problems),
        }

    def write(self, report):
        """Leave a report as the playbook does, or as bytes; None leaves none."""
        self.report_file.unlink(missing_ok=True)
        if isinstance(report, bytes):
            self.report_file.write_bytes(report)
        elif report is not None:
            self.report_file.write_text(json.dumps(report))

    def look(self, *problems, minutes=5, report=..., systemd=None):
        """Look once, so long after the last time; return what PagerDuty got of it."""
        self.now += minutes * MINUTES
        self.write(self.report(*problems) if report is ... else report)
        if systemd is None:
            systemd = FOUND if problems or report is not ... else SUCCESS
        for name in SUCCESS:
            self.monkeypatch.delenv(name, raising=False)
        for name, value in {"RAX_ENVIRONMENT": "production", **systemd}.items():
            self.monkeypatch.setenv(name, value)
        before = len(self.sent)

        def send(action, _credential, _limit, **event):
            # What is on the disk while PagerDuty is asked.
            self.during = self.state
            refusal = self.refused.get(event["dedup_key"], self.problem)
            if not refusal:
                self.sent.append({"action": action, **event})
            return refusal

        self.monkeypatch.setattr(self.module.watch.pagerduty, "send", send)
        self.monkeypatch.setattr(self.module.time, "time", lambda: self.now)
        self.module.main(arguments=self.arguments)
        return [
            f"{event['action'][0]} {event['dedup_key'].removeprefix('production/platform/')}"
            for event in self.sent[before:]
        ]

    def run_program(self, environment):
        """Run the program as systemd does, in a process of its own."""
        return run_launcher(self.launcher, self.arguments, environment)

    @property
    def state(self):
        return json.loads(self.state_file.read_text())
