"""A worker that is added to the inventory joins without anything happening to the others."""

import os
import re
from pathlib import Path

import pytest

OTHERS = ("scheduler1", "worker1", "worker2")
INVENTORY = """
worker:
  hosts:
    worker3:
"""


@pytest.fixture
def worker3(cluster, tmp_path):
    """Make a new node, and an inventory that has it as a worker."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    cluster.local(
        "scripts/nodes", "create", "--cluster", cluster.lab.name,
        "--mount", f"{cache}/caspian-deploy/uv:/var/cache/uv", "worker3",
    )  # fmt: skip
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY)
    yield inventory
    cluster.local("scripts/nodes", "destroy", "--cluster", cluster.lab.name, "worker3")


@pytest.mark.timeout(400)
def test_new_worker_runs_tasks_and_the_others_are_left_alone(cluster, worker3):
    def started():
        asked = "systemctl show --property=ActiveEnterTimestampMonotonic,MainPID 'airflow-*'"
        return {name: cluster.node(name).check_output(asked) for name in OTHERS}

    before = started()
    output = cluster.local(
        "ansible-playbook", "-i", "inventories/lab", "-i", str(worker3),
        "site.yml", "--limit", "worker3,control", "--extra-vars", f"lab_dir={cluster.lab}",
    )  # fmt: skip
    # site.yml ends with a task that ran on every worker of the play.
    recap = dict(re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE))
    assert set(recap) == {"worker3", "control1"}
    assert int(recap["worker3"]) > 10
    assert cluster.node("worker3").service("airflow-worker").is_running
    assert started() == before
