"""A control node's report of its refresh, in a folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SUCCESS = {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}
ROUTING_KEY = "0123456789abcdefROUTINGKEY456789"
FAILURE = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"}


def fleet_report(run, **changes):
    """Return a good report of two hosts; the run's number makes its times."""
    summary = {"current": 3, "kept": 0, "missing": 0, "oldest_last_good_at": f"{day(run)}:10Z"}
    host = {"state": "delivered", "error": None, "summary": summary, "changes": {"added": []}}
    return {
        "version": 1,
        "started_at": f"{day(run)}:00Z",
        "ended_at": f"{day(run)}:20Z",
        "vault": "caspian.airflow.passwordsafe",
        "vault_error": None,
        "problems": {},
        "hosts": {"worker1": host, "worker2": host},
    } | changes


def day(run):
    return f"2026-11-{run:02}T08:00"


def run_launcher(launcher, arguments, environment):
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, launcher, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


class Control:
    """The files of a control node, and its unit's runs."""

    def __init__(self, path, module, launcher, monkeypatch):
        self.path = path
        self.report = path / "report.json"
        self.state_file = path / "state.json"
        self.metrics_file = path / "metrics.prom"
        self.module = module
        self.launcher = launcher
        self.monkeypatch = monkeypatch
        self.runs = 0
        self.options = ["--alert", "PAGERDUTY"]
        self.sent = []
        # What PagerDuty is, as far as `run` goes.
        self.problem = ""

    @property
    def arguments(self):
        return [
            *("refresh", "--report", str(self.report), "--state", str(self.state_file)),
            *("--metrics", str(self.metrics_file), "--source", "control1", *self.options),
        ]

    def write(self, report):
        """Leave a report as the playbook does, or as text; None leaves none."""
        self.report.unlink(missing_ok=True)
        if isinstance(report, bytes):
            self.report.write_bytes(report)
        elif report is not None:
            self.report.write_text(json.dumps(report))

    def run(self, report="good", systemd=SUCCESS, *, keep=False):
        """Run the program in this process; PagerDuty is a list."""
        self.runs += 1
        if not keep:
            self.write(fleet_report(self.runs) if report == "good" else report)
        for name in SUCCESS:
            self.monkeypatch.delenv(name, raising=False)
        for name, value in systemd.items():
            self.monkeypatch.setenv(name, value)

        def send(action, _credential, _limit, **event):
            # What is on the disk while PagerDuty is asked.
            self.during = self.state if self.state_file.is_file() else None
            if not self.problem:
                self.sent.append({"action": action, **event})
            return self.problem

        self.monkeypatch.setattr(self.module.refresh.pagerduty, "send", send)
        self.monkeypatch.setattr(self.module.time, "time", lambda: self.now)
        self.module.main(arguments=self.arguments)

    @property
    def now(self):
        """When the run ends: a minute after its report."""
        return 1793520000 + (self.runs - 1) * 86400 + 60

    def run_program(self, environment):
        """Run the program as systemd does, in a process of its own."""
        return run_launcher(self.launcher, self.arguments, environment)

    @property
    def state(self):
        return json.loads(self.state_file.read_text())

    @property
    def actions(self):
        return [event["action"] for event in self.sent]

    @property
    def metrics(self):
        return parse_metrics(self.metrics_file.read_text())


NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=[a-z])|$)')
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? (-?[0-9]+(?:\.[0-9]+)?)")


def parse_metrics(text):
    """Return {name or name{label=value}: number} of a textfile, as strict as promtool.

    Every family has HELP, TYPE and samples, in this order, once; no sample comes twice.
    """
    assert text.endswith("\n")
    found, families, current = {}, [], None
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("#"):
            name, _, meaning = line.removeprefix("# HELP ").partition(" ")
            assert line.startswith("# HELP "), line
            assert NAME.fullmatch(name), line
            assert name not in families, f"{name} comes twice"
            assert meaning, f"{name} has no help"
            assert next(lines) == f"# TYPE {name} gauge"
            families.append(name)
            current, count = name, 0
            continue
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match.groups()
        assert name == current, f"{name} is not under its TYPE"
        count += 1
        pairs, position = [], 0
        while labels and position < len(labels):
            label = LABEL.match(labels, position)
            assert label, f"not labels: {labels!r}"
            text = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), label[2])
            pairs.append(f"{label[1]}={text}")
            position = label.end()
        key = name.removeprefix("caspian_credentials_")
        assert key != name
        key += f"{{{','.join(pairs)}}}" if pairs else ""
        assert key not in found, f"{key} comes twice"
        found[key] = float(value)
    for family in families:
        name = family.removeprefix("caspian_credentials_")
        assert any(key.partition("{")[0] == name for key in found), f"{family} has no sample"
    return found
