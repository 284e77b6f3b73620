"""A worker that is added to the inventory joins without anything happening to the others.

It goes again without site.yml, so that refreshes of the control node miss it from then on: what
looks whether all is well comes before, as test_health.py does by its name.
"""

import os
import re
from pathlib import Path

import pytest

OTHERS = ("scheduler1", "worker1", "worker2")


@pytest.fixture
def play(cluster):
    """Make a new node, which inventories/lab takes for a worker; return what runs a playbook."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    cluster.local(
        "scripts/nodes", "create", "--cluster", cluster.lab.name,
        "--mount", f"{cache}/caspian-deploy/uv:/var/cache/uv", "worker3",
    )  # fmt: skip

    def run(playbook, limit):
        return cluster.local(
            "ansible-playbook", "-i", cluster.inventory, playbook, "--limit", limit
        )

    # What a user's nodes have, and the environment, which others have shown to be built.
    run("scripts/lab/prepare.yml", "worker3")
    run("molecule/default/environment.yml", "worker3")
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
