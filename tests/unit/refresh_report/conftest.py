"""The program as the role installs it, and a control node in a folder."""

import importlib
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils.program_files import program_files

from tests.unit.refresh_report.report_testing import ROOT, Control


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """Install the program into a folder; return the file that runs it."""
    folder = tmp_path_factory.mktemp("installed")
    source = ROOT / "roles/refresh_schedule/files/caspian_refresh_report"
    launcher = folder / "report.py"
    for entry in program_files(source, f"{folder}/report", str(launcher), "/usr/bin/python3 -I"):
        path = Path(entry["path"])
        if entry.get("state") == "directory":
            path.mkdir()
        else:
            path.write_text(entry["content"])
    return launcher


@pytest.fixture(scope="session")
def program():
    """The program's module, which has the parts of it by their names."""
    return importlib.import_module("caspian_refresh_report.__main__")


@pytest.fixture
def control(tmp_path, program, launcher, monkeypatch):
    return Control(tmp_path, program, launcher, monkeypatch)
