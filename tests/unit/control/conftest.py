"""The program as the role installs it, and a control node in a folder."""

import importlib
import json
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils.program_files import program_files

from tests.fakes.pagerduty import PagerDuty
from tests.unit.control.report_testing import ROOT, ROUTING_KEY, Control
from tests.unit.control.watch_testing import Watch


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """Install the program into a folder; return the file that runs it."""
    folder = tmp_path_factory.mktemp("installed")
    source = ROOT / "roles/refresh_schedule/files/caspian_control"
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
    return importlib.import_module("caspian_control.__main__")


@pytest.fixture
def watch(tmp_path, program, launcher, monkeypatch):
    return Watch(tmp_path, program, launcher, monkeypatch)


@pytest.fixture
def control(tmp_path, program, launcher, monkeypatch):
    return Control(tmp_path, program, launcher, monkeypatch)


@pytest.fixture(scope="module")
def server():
    with PagerDuty({"routing_keys": [ROUTING_KEY]}) as fake:
        yield fake


@pytest.fixture
def environment(server, tmp_path):
    server.forget()
    server.events.clear()
    server.open.clear()
    folder = tmp_path / "credentials"
    folder.mkdir()
    file = folder / "TEAM.json"
    file.touch(0o600)
    fields = {"user": "u", "host": "h", "description": "", "metadata": {}}
    file.write_text(json.dumps(fields | {"pass": ROUTING_KEY, "url": server.url}))
    return {"RAX_CREDENTIALS_DIR": str(folder), "SSL_CERT_FILE": str(server.ca_path)}
