# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook itself, on hosts that can't be reached: it needs none that can."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_problem_is_in_one_list(tmp_path):
    # Nothing listens on port 9 of this machine.
    hosts = {
        name: {"ansible_host": "127.0.0.1", "ansible_port": 9, "caspian_address": name}
        for name in ("s1", "w1")
    }
    inventory = tmp_path / "inventory.json"
    inventory.write_text(
        json.dumps(
            {
                "all": {
                    "children": {
                        "scheduler": {"hosts": hosts},
                        "worker": {"hosts": {}},
                        "metadata_db": {"hosts": {"s1": {}}},
                    },
                    "vars": {
                        "dag_sync_repository": "https://me:CANARY@example.org/dags.git",
                        "credentials_sources": ["EBI-1", "EBI-1"],
                        # Templates that need facts, which a host that did not answer lacks.
                        "airflow_external_api_url": "{{ ansible_facts.fqdn | first }}",
                        "airflow_settings": {"core": {"parallelism": "{{ none | first }}"}},
                    },
                }
            }
        )
    )
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            inventory,
            "playbooks/preflight.yml",
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        text=True,
        capture_output=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    message = output[output.rindex("has to be put right first:") :]
    listed = [
        line.strip()[2:].split(":")[0]
        for line in message.splitlines()
        if line.strip().startswith("- ")
    ]
    assert listed == [
        "the group worker is empty",
        "caspian_secrets_dir is not set",
        "the group broker is empty",
        "dag_sync_repository",
        "credentials_sources",
        "s1",
        "w1",
        "airflow_external_api_url cannot be made out for s1, w1",
        "airflow_settings cannot be made out for s1, w1",
    ]
    assert message.count("port 9: Connection refused") == 2
    assert "CANARY" not in output
