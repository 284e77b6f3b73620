"""The collection, built and installed, deploys the very same cluster with a user's inventory."""

import os
import re

import pytest


@pytest.fixture(scope="module")
def installed(cluster, tmp_path_factory):
    """Build and install the collection; return the environment of somebody who has nothing else.

    The settings are the README's.
    """
    folder = tmp_path_factory.mktemp("collection")
    cluster.local("ansible-galaxy", "collection", "build", "--output-path", str(folder))
    (archive,) = folder.glob("caspian-airflow-*.tar.gz")
    config = folder / "ansible.cfg"
    config.write_text(
        f"[defaults]\ncollections_path = {folder}\ninject_facts_as_vars = false\n"
        "callbacks_enabled = caspian.airflow.guard\n"
        "[connection]\npipelining = true\n"
    )
    environment = {**os.environ, "ANSIBLE_CONFIG": str(config)}
    cluster.local(
        "ansible-galaxy", "collection", "install", str(archive), "-p", str(folder), env=environment
    )
    return environment


@pytest.mark.timeout(900)
def test_installed_collection_finds_nothing_to_change(cluster, installed):
    output = cluster.local(
        "ansible-playbook", "-i", "inventories/lab", "caspian.airflow.site", env=installed
    )
    recap = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)
    assert dict(recap) == dict.fromkeys(("control1", "scheduler1", "worker1", "worker2"), "0"), (
        output
    )
