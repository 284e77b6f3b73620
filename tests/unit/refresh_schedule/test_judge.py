# SPDX-License-Identifier: GPL-3.0-or-later
"""When site.yml has the refresh run, and whose result it then judges."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
VARIABLES = yaml.safe_load((ROOT / "roles/refresh_schedule/vars/main.yml").read_text())
# A unit whose state is in files; a run ends well, or as the file `next` says.
SYSTEMCTL = """\
#!/bin/sh
cd "$(dirname "$0")" || exit
case "$1 $2" in
  "show --property="*) cat "${2#--property=}" ;;
  "start caspian-refresh.service")
    echo start >> log
    echo inactive > ActiveState; echo now > ExecMainExitTimestamp
    cp next Result; grep -q success next ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture
def judge(tmp_path):
    """Judge a unit in such a state; return the result that is told, and how often it was run."""

    def run(changed, result, *, ran="then", state="inactive", becomes="success"):
        files = {"Result": result, "ExecMainExitTimestamp": ran, "ActiveState": state,
                 "next": becomes, "systemctl": SYSTEMCTL}  # fmt: skip
        for name, text in files.items():
            (tmp_path / name).write_text(f"{text}\n" if text else "\n")
        (tmp_path / "systemctl").chmod(0o755)
        (tmp_path / "log").write_text("")
        done = subprocess.run(
            ["sh", "-c", VARIABLES["__refresh_schedule_judge"], "judge", str(changed)],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.strip(), (tmp_path / "log").read_text().count("start")

    return run


@pytest.mark.parametrize(("arguments", "options", "expected"), [
    ((0, "success"), {}, ("success", 0)),
    ((1, "success"), {}, ("success", 1)),
    # It was cut off over one tick of the timer, and works since.
    ((0, "exit-code"), {}, ("success", 1)),
    ((0, "signal"), {"becomes": "exit-code"}, ("exit-code", 1)),
    # What was good is no longer.
    ((3, "success"), {"becomes": "timeout"}, ("timeout", 1)),
    # It has not run since the machine has started: systemd says that this is a success.
    ((0, "success"), {"ran": ""}, ("success", 1)),
    # The timer's run that is under way may have begun too early.
    ((1, "success"), {"state": "activating"}, ("success", 2)),
    ((0, "success"), {"state": "activating", "becomes": "exit-code"}, ("exit-code", 2)),
])  # fmt: skip
def test_the_run_that_is_judged(judge, arguments, options, expected):
    assert judge(*arguments, **options) == expected
