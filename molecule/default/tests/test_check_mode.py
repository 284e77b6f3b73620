"""Check mode on a deployed cluster, as a site with its own database and broker sees it."""

import re

import pytest

HOSTS = """
airflow:
  children:
    scheduler:
      hosts:
        scheduler1:
    worker:
      hosts:
        worker1:
        worker2:
control:
  hosts:
    control1:
"""


@pytest.fixture
def outside(cluster, tmp_path):
    """Return arguments for an inventory whose database and broker are somebody else's."""
    (tmp_path / "hosts.yml").write_text(HOSTS)
    (tmp_path / "group_vars").symlink_to(cluster.root / "inventories" / "lab" / "group_vars")
    password = cluster.secret
    # What the cluster's own URLs have, so that nothing differs.
    options = "?sslmode=require&channel_binding=require"
    urls = tmp_path / "urls.yml"
    urls.touch(0o600)
    urls.write_text(
        f"lab_dir: {cluster.lab}\n"
        "airflow_external_database_url: postgresql+psycopg2://"
        f"airflow:{password('metadata_db_password')}@scheduler1:5432/airflow{options}\n"
        f"airflow_external_broker_url: redis://:{password('broker_password')}@scheduler1:6379/0\n"
    )
    return ["-i", str(tmp_path / "hosts.yml"), "--extra-vars", f"@{urls}"]


@pytest.mark.timeout(900)
def test_nothing_would_change_with_outside_database_and_broker(cluster, outside):
    output = cluster.local("ansible-playbook", *outside, "site.yml", "--check", "--diff")
    recap = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)
    # The control node would forget the groups that this inventory does not have, and that is all.
    assert dict(recap) == {"control1": "1", "scheduler1": "0", "worker1": "0", "worker2": "0"}, (
        output
    )
    tasks = [task for task in output.split("\nTASK [") if "\nchanged: " in task]
    assert [task.partition("]")[0].rpartition(" : ")[2] for task in tasks] == [
        "inputs | Write the inventory, with the sources"
    ]
    assert "PostgreSQL" not in output
    for path in (cluster.lab / "secrets").iterdir():
        assert path.read_text().strip() not in output, path.name
