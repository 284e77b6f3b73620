# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts/test says at its end of stages that passed, failed or could not look."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# The machine is set up already.
COMMON = """\
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
root=$PWD logs=$root/log
say() { printf '%s\\n' "$*"; }
need_packages() { :; }
need_tools() { :; }
need_airflow() { PATH=$root/bin:$PATH; }
"""


def ended(tmp_path, does):
    """Run the stage advisories, which does so; return the exit code and what stands at the end."""
    write(tmp_path / "scripts" / "lock", does)
    code, said = run(tmp_path, "advisories")
    return code, said.partition("=== advisories took ")[2].splitlines()


def write(program, does):
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)


def run(tmp_path, stage):
    """Run a stage; return the exit code and all that is said."""
    library = tmp_path / "scripts" / "lib"
    library.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "scripts/test", tmp_path / "scripts")
    (library / "common.sh").write_text(COMMON)
    (library / "changed.sh").touch()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/README.md", tmp_path / "tests")
    done = subprocess.run(
        [tmp_path / "scripts/test", stage], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, re.sub(r"\d+ s\b", "N s", done.stdout)


@pytest.mark.parametrize(
    ("does", "code", "end"),
    [
        (
            "echo 'note: x has A-1'",
            0,
            [
                "N s",
                "advisories: x has A-1",
                "all of it took N s; stages: 1 passed, 0 failed, 0 skipped",
            ],
        ),
        (
            "echo 'skipped: nobody answers'; exit 77",
            0,
            [
                "N s, and was skipped",
                "skipped: advisories: nobody answers",
                "all of it took N s; stages: 0 passed, 0 failed, 1 skipped",
            ],
        ),
        # A reason is part of it: a program that ends with 77 by itself was not skipped.
        *(
            (
                does,
                1,
                [
                    "N s, and FAILED",
                    "=== what failed in advisories (all of it: log/test-advisories.log)",
                    "ERROR: no",
                    "failed: advisories",
                    "all of it took N s; stages: 0 passed, 1 failed, 0 skipped",
                ],
            )
            for does in ("echo ERROR: no; exit 77", "echo ERROR: no; exit 1")
        ),
    ],
)
def test_what_was_skipped_is_told_with_its_reason(tmp_path, does, code, end):
    assert ended(tmp_path, does) == (code, end)


@pytest.mark.parametrize(
    ("checks", "proves", "done"),
    [
        (0, 0, ["check", "prove", "pytest tests/airflow", "pytest examples/dag-repo/lib"]),
        (0, 1, ["check", "prove"]),
        (1, 0, ["check"]),
    ],
)
def test_packages_that_no_node_would_use_fail_the_stage_airflow(tmp_path, checks, proves, done):
    environment = tmp_path / ".venv-airflow" / "bin"
    write(tmp_path / "bin" / "uv", f"echo check >>done; exit {checks}")
    prove = "-P roles/python_environment/files/prove.py packages/requirements-py399.txt"
    write(
        environment / "python",
        f'case "$*" in -c*) echo 399 ;; "{prove}") echo prove >>done; exit {proves} ;; esac',
    )
    write(environment / "pytest", 'echo "pytest $*" >>done')
    code, _ = run(tmp_path, "airflow")
    assert (tmp_path / "done").read_text().splitlines() == done
    assert code == (checks or proves)
