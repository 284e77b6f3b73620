"""The example DAG repository passes the check that it tells its authors of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# Its workflow is run nine times, each with a database of its own.
@pytest.mark.timeout(1200)
def test_the_example_passes_its_check():
    ended = subprocess.run(
        [sys.executable, "-m", "rax", "check", "--unittest", "--json", "examples/dag-repo"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    stages = json.loads(ended.stdout)["stages"]
    assert {stage["name"]: stage["findings"] for stage in stages} == {
        "files": [],
        "dags": [],
        "tests": [],
        "flows": [],
    }
    assert not any(stage["failed"] or stage["skipped"] for stage in stages)
    assert ended.returncode == 0, ended.stderr
