# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may sign the commits of the refresh's own repository, checked before anything is changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIK6yDkCDdOEi8YtYjGWwhvZ9ahVzjNrDCwvHvLYQGZf"
OPENPGP = (
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"
)
REPOSITORY = {"refresh_schedule_repository": "/srv/git/caspian.git"}
# Host → its variables, and what it fails with.
CASES = {
    "ssh": ({"signers": [f"me@example.org ssh-ed25519 {KEY}"], **REPOSITORY}, None),
    "openpgp": ({"signers": [OPENPGP], **REPOSITORY}, None),
    "nobody": ({"signers": [], **REPOSITORY}, None),
    "name": (
        {"signers": ["me@example.org"], **REPOSITORY},
        "An entry of refresh_schedule_allowed_signers is neither a line of ssh's allowed_signers"
        " (principal, key type, key) nor one armoured OpenPGP public key; it begins with"
        ' "me@example.org"',
    ),
    "nowhere": (
        {"signers": [f"me@example.org ssh-ed25519 {KEY}"]},
        "refresh_schedule_allowed_signers says whose commits of refresh_schedule_repository the"
        " refresh follows, and that is not set",
    ),
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """Run the role's checks on all hosts at once; return host → message of failure."""
    folder = tmp_path_factory.mktemp("signers")
    role = {"name": "caspian.airflow.refresh_schedule", "tasks_from": "preflight"}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "connection": "local",
        "vars": {"refresh_schedule_allowed_signers": "{{ signers }}"},
        "tasks": [{"ansible.builtin.include_role": role}],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    hosts = {name: variables for name, (variables, _) in CASES.items()}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.yml"],
        cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {}
    for task in json.loads(done.stdout)["plays"][0]["tasks"]:
        for host, result in task["hosts"].items():
            if result.get("failed"):
                found[host] = next(
                    (one["msg"] for one in result.get("results", []) if one.get("failed")),
                    result["msg"],
                )
    return found


@pytest.mark.parametrize("case", CASES)
def test_who_may_sign(failures, case):
    assert failures.get(case) == CASES[case][1]
