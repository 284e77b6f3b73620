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
def play(cluster, tmp_path):
    """Make a new node, and return what runs a playbook with it as a worker."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    cluster.local(
        "scripts/nodes", "create", "--cluster", cluster.lab.name,
        "--mount", f"{cache}/caspian-deploy/uv:/var/cache/uv", "worker3",
    )  # fmt: skip
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY)

    def run(playbook, limit):
        return cluster.local(
            "ansible-playbook", "-i", "inventories/lab", "-i", str(inventory), playbook,
            "--limit", limit, "--extra-vars", f"lab_dir={cluster.lab}",
        )  # fmt: skip

    # What a user's nodes have.
    run("scripts/lab/prepare.yml", "worker3")
    yield run
    cluster.local("scripts/nodes", "destroy", "--cluster", cluster.lab.name, "worker3")


@pytest.mark.timeout(900)
def test_new_worker_runs_tasks_and_the_others_are_left_alone(cluster, play):
    def started():
        asked = "systemctl show --property=ActiveEnterTimestampMonotonic,MainPID 'airflow-*'"
        return {name: cluster.node(name).check_output(asked) for name in OTHERS}

    before = started()
    output = play("site.yml", "worker3,control")
    # site.yml ends with a task that ran on every worker of the play.
    recap = dict(re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE))
    assert set(recap) == {"worker3", "control1"}
    assert int(recap["worker3"]) > 10
    assert cluster.node("worker3").service("airflow-worker").is_running
    assert started() == before
