# SPDX-License-Identifier: Apache-2.0
"""What the examples in rax's docstrings read."""

import importlib.util
import json
from pathlib import Path

import pytest

# Airflow is on the nodes, not among the tools of this checkout.
_ENGINE = [f"rax/testing/_engine/_{name}.py" for name in ("api", "listener", "runs", "warm_up")]
collect_ignore = [] if importlib.util.find_spec("airflow") else ["rax/airflow", *_ENGINE]


@pytest.fixture(autouse=True)
def example_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the files of a node with one credential and one config."""
    credential = {
        "user": "etl",
        "pass": "hunter2",
        "host": "db.example.com",
        "url": "",
        "description": "",
        "metadata": {"port": 5432},
    }
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    file = credentials / "EBI-ETL-DEV-01.json"
    file.touch(0o600)
    file.write_text(json.dumps(credential))
    config = tmp_path / "configs/ebi/flights/daily.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("source: EBI-ETL-DEV-01\ntarget: {table: flights}\nmonths: [1, 2, 3]\n")
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(credentials))
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path / "configs"))
