# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that lists the credentials for `rax check`; no host has to answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

from rax.checking._files._names import Credentials
from rax.checking._project import Project

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    "B-1",
    {"name": "A-1", "record": "x/y", "hosts": ["worker"]},
    {"name": "C", "hosts": ["w1"]},
    {"name": "OTHER", "hosts": ["control"]},
]


def test_the_names_that_tasks_can_ask_for(tmp_path):
    hosts = {"w1": {"ansible_host": "192.0.2.1"}}
    inventory = {"all": {"vars": {"credentials_sources": SOURCES}, "children": {
        "worker": {"hosts": hosts}, "airflow": {"children": {"worker": {}}},
        "control": {"hosts": {"c1": {}}},
    }}}  # fmt: skip
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))
    (tmp_path / "dags").mkdir()
    path = tmp_path / "dags/credentials.txt"
    program = Path(sys.executable).with_name("ansible-playbook")
    playbook = [program, "playbooks/credential_names.yml", "-i", tmp_path / "inventory.json"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
    for words, code in (["-e", f"credential_names_path={path}"], 0), ([], 2):
        done = subprocess.run(
            [*playbook, *words],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
    assert "Add -e credential_names_path=FILE" in done.stdout + done.stderr
    found = Credentials(Project(tmp_path / "dags"))
    assert (found.names, found.problems) == ({"A-1", "B-1", "C"}, [])
    assert path.read_text().splitlines()[1:] == ["A-1", "B-1", "C"]
