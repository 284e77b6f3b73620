# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/demo and what it leaves to the inventory, as far as they need no nodes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.pagerduty import PagerDuty

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path):
    """A checkout in which there has been no demo."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "inventories/lab").mkdir(parents=True)
    shutil.copy(ROOT / "inventories/lab/added_workers.py", tmp_path / "inventories/lab")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("worker3", "There is no demo to add a worker to: run scripts/demo first."),
        ("worker-gpu1", "There is no demo to add a worker to: run scripts/demo first."),
        # It is the name of the group.
        ("worker", "'worker' can't be the name of a worker"),
        ("worker_3", "'worker_3' can't be the name of a worker"),
        ("worker3-", "'worker3-' can't be the name of a worker"),
        ("worker3;id", "'worker3;id' can't be the name of a worker"),
        ("worker" + 32 * "3", "can't be the name of a worker"),
        ("scheduler2", "there is no 'scheduler2'; see scripts/demo --help"),
    ],
)
def test_a_name_that_can_not_be_a_worker_changes_nothing(checkout, name, reason):
    done = subprocess.run(
        [checkout / "scripts/demo", name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert not (checkout / ".lab").exists()


def test_every_command_is_explained(checkout):
    shown = subprocess.check_output([checkout / "scripts/demo", "--help"], text=True)
    assert shown.splitlines()[-1].startswith("  scripts/demo destroy")
    assert "scripts/demo worker3" in shown


@pytest.mark.parametrize(
    ("ssh_config", "workers"),
    [
        (None, []),
        ("", []),
        (
            "Host control1\n  HostName 10.0.0.2\n\nHost worker1\n  User deploy\n\nHost worker-b",
            ["worker1", "worker-b"],
        ),
        ("Host worker1 *\n\nHost worker{{ 1 }}\n\n# Host worker4\nHost myworker", []),
    ],
)
def test_the_inventory_knows_the_workers_that_were_added(checkout, ssh_config, workers):
    if ssh_config is not None:
        (checkout / ".lab/mine").mkdir(parents=True)
        (checkout / ".lab/mine/ssh_config").write_text(ssh_config)
    told = subprocess.check_output(
        [checkout / "inventories/lab/added_workers.py", "--list"],
        env={"PATH": "/usr/bin:/bin", "CASPIAN_LAB": "mine"},
    )
    assert json.loads(told)["worker"]["hosts"] == workers


def test_clients_go_on_trusting_what_stands_in_for_pagerduty(tmp_path):
    """Its node may start again, and the others have the certificate of its authority."""
    seen = []
    for _ in range(2):
        with PagerDuty({"routing_keys": []}, directory=tmp_path) as fake:
            seen.append(fake.ca_path.read_text())
    assert seen[0] == seen[1]
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
