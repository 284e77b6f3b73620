"""rax flow --target: the example's spec, run by the workers of the cluster."""

import json
import shlex

import pytest

PYTHON = "/opt/airflow/current/bin/python"
FOLDER = "/tmp/laptop"  # noqa: S108 - removed below
# Of the node, led to the API's.
PORT = 18080
# A node runs no cases. This one is taken for the laptop of somebody who has led the port of the API
# to it, with the packages and the repository that it has.
LAPTOP = """\
import sys
from pathlib import Path
from rax import _laptop, cli
_laptop.NODE = Path("/nonexistent")
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def rax(cluster):
    """Return a function that runs rax as on a laptop with two credentials, and returns its JSON."""
    account = {"user": "admin", "pass": cluster.secret("airflow_admin_password"), "host": ""}
    account |= {"url": f"http://127.0.0.1:{PORT}", "description": "", "metadata": {}}
    as_airflow = "sudo -u airflow"
    cluster.ssh("scheduler1", f"rm -rf {FOLDER}")
    cluster.ssh("scheduler1", f"install -d -o airflow -m 0700 {FOLDER}")
    file = f"{FOLDER}/AIRFLOW-STAGING-01.json"
    cluster.ssh("scheduler1", f"{as_airflow} sh -c 'umask 077; cat > {file}'", json.dumps(account))
    cluster.ssh(
        "scheduler1",
        f"install -o airflow -m 0400 /etc/airflow/credentials/EBI-ETL-DEV-01.json {FOLDER}",
    )

    def run(*words):
        environment = (
            f"HOME={FOLDER}", f"RAX_CREDENTIALS_DIR={FOLDER}",
            "RAX_REPOSITORY=/home/airflow/airflow-git-dir",
        )  # fmt: skip
        command = [*as_airflow.split(), "env", *environment, PYTHON, "-c", LAPTOP, *words]
        # A connection of its own: the port is open as long as the command runs.
        lead = f"127.0.0.1:{PORT}:{cluster.url_host('scheduler1')}:8080"
        ssh, *options = cluster.ssh_command("scheduler1", shlex.join(command))
        return json.loads(cluster.local(ssh, "-oControlPath=none", f"-R{lead}", *options))

    yield run
    cluster.ssh("scheduler1", f"rm -rf {FOLDER}")


@pytest.mark.timeout(400)
def test_a_case_is_run_by_the_workers_and_compared_with_what_it_left(cluster, rax):
    cluster.api.call("PATCH", "/api/v2/dags/ebi_flights_daily", {"is_paused": False})
    found = rax("flow", "--target", "--json", "-k", "ebi_flights_daily")
    (case,) = found["cases"]
    assert (case["state"], case["differences"]) == ("passed", [])
    assert case["notes"][:2] == [
        "the cluster's own: postgres, files, config",
        "left out: again, lost",
    ]
    run_id = case["notes"][2].rpartition("/")[2]
    assert run_id.startswith("rax_flow__")
    tasks = cluster.api.call(
        "GET", f"/api/v2/dags/ebi_flights_daily/dagRuns/{run_id}/taskInstances"
    )
    hosts = {cluster.name_at(task["hostname"]) for task in tasks["task_instances"]}
    assert hosts == set(cluster.workers)
    reasons = {one["id"].rpartition("::")[2]: one["reason"] for one in found["skipped"]}
    given = "given.postgres, given.files, given.config"
    assert reasons["the database is down"] == f"not portable: {given}, given.down"
