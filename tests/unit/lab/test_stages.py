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
"""


def ended(tmp_path, does):
    """Run the stage advisories, which does so; return the exit code and what stands at the end."""
    library = tmp_path / "scripts" / "lib"
    library.mkdir(parents=True)
    shutil.copy(ROOT / "scripts/test", tmp_path / "scripts")
    (library / "common.sh").write_text(COMMON)
    (library / "changed.sh").touch()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/README.md", tmp_path / "tests")
    lock = tmp_path / "scripts/lock"
    lock.write_text(f"#!/bin/sh\n{does}\n")
    lock.chmod(0o755)
    done = subprocess.run(
        [tmp_path / "scripts/test", "advisories"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    _, _, end = re.sub(r"\d+ s\b", "N s", done.stdout).partition("=== advisories took ")
    return done.returncode, end.splitlines()


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
