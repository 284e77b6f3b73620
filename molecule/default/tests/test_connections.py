"""Stock operators use the credentials of the node, follow their rotation, and get no other."""

import json
import secrets

import pytest

SOURCE = "EBI-ETL-DEV-01"
FILE = f"/etc/airflow/credentials/{SOURCE}.json"
SIGNALS = "/home/airflow/connection_signals"  # A component has a /tmp of its own.
DAG = f'''"""Asks a database twice, by a stock operator, and meanwhile waits for a rotation."""
import time
from pathlib import Path

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import DAG, task
from rax.credentials import get_credentials

ARGUMENTS = {{"queue": "worker1", "retries": 0}}

with DAG(
    "connection_probe", schedule=None, is_paused_upon_creation=False, default_args=ARGUMENTS
):
    question = {{"conn_id": "{SOURCE}", "sql": "SELECT current_user, current_database()"}}

    @task
    def wait(run_id=None):
        # What a careless author does.
        print("the password is", get_credentials("{SOURCE}")["pass"])
        deadline = time.monotonic() + 120
        while not Path("{SIGNALS}", run_id).exists():
            if time.monotonic() > deadline:
                raise TimeoutError("nobody gave the signal")
            time.sleep(0.2)
        print("and now it is", get_credentials("{SOURCE}")["pass"])

    before = SQLExecuteQueryOperator(task_id="before", **question)
    after = SQLExecuteQueryOperator(task_id="after", **question)
    before >> wait() >> after
'''


def password(cluster):
    """Return the password as the node has it."""
    return json.loads(cluster.node("worker1").file(FILE).content_string)["pass"]


def rotate(cluster):
    """Give the account a new password, in the database, the vault and so on the nodes."""
    new = secrets.token_hex(20)
    path = cluster.lab / "secrets" / "etl_password"
    path.write_text(new)
    cluster.send("scheduler1", "/run/rotate.sql", f"ALTER ROLE ebi_etl PASSWORD '{new}'")
    cluster.node("scheduler1").check_output(
        "runuser -u postgres -- psql --quiet < /run/rotate.sql && rm /run/rotate.sql"
    )
    vault = {
        "password": cluster.secret("vault_password"),
        "entries": [{"title": SOURCE, "user": "ebi_etl", "pass": new, "host": "scheduler1"}],
    }
    cluster.local(
        ".venv/bin/python", "scripts/lab/make_vault.py", str(cluster.lab / "vault.kdbx"),
        input=json.dumps(vault),
    )  # fmt: skip
    refresh(cluster)
    assert password(cluster) == new


def refresh(cluster, *options):
    """Bring the vault's credentials to the nodes."""
    cluster.local(
        "ansible-playbook", "-i", "inventories/lab", "playbooks/refresh_credentials.yml", *options
    )


@pytest.fixture(scope="module")
def session(cluster):
    """Push the DAG and return what its runs are called after."""
    sha = cluster.push({"dags/connection_probe.py": DAG}, "Ask by a stock operator")
    cluster.sync(sha)
    cluster.wait_until_parsed(sha, "connection_probe")
    worker1 = cluster.node("worker1")
    worker1.check_output(f"install -d -o airflow {SIGNALS}")
    yield secrets.token_hex(3)
    worker1.check_output(f"rm -r {SIGNALS}")


@pytest.fixture(scope="module")
def rotated(cluster, session):
    """Rotate the password between two tasks of a run; return the run and both passwords."""
    old = password(cluster)
    run = cluster.begin("connection_probe", f"rotated-{session}")
    cluster.wait(lambda: cluster.tasks(run).get("wait") == "running", 90, "the first task is done")
    rotate(cluster)
    cluster.node("worker1").check_output(f"touch {SIGNALS}/{run.rpartition('/')[2]}")
    cluster.end(run)
    return run, old, password(cluster)


@pytest.mark.timeout(400)
def test_rotation_between_two_tasks_of_a_run(cluster, rotated):
    run, old, new = rotated
    assert old != new
    tasks = cluster.tasks(run)
    assert tasks == dict.fromkeys(("before", "wait", "after"), "success"), {
        task: cluster.log(run, task) for task in tasks
    }
    for task in ("before", "after"):
        (row,) = cluster.returned(run, task)
        assert row["__data__"] == ["ebi_etl", "ebi"]


@pytest.mark.timeout(400)
def test_printed_password_is_masked(cluster, rotated):
    run, old, new = rotated
    log = cluster.log(run, "wait")
    assert "the password is ***" in log
    assert "and now it is ***" in log
    for task in ("before", "wait", "after"):
        log = cluster.log(run, task)
        assert old not in log
        assert new not in log


@pytest.mark.timeout(400)
def test_no_connection_is_in_the_metadata_database(cluster, rotated):
    assert rotated
    assert cluster.api.call("GET", "/api/v2/connections")["connections"] == []


@pytest.mark.timeout(400)
def test_insecure_file_fails_the_task_and_says_why(cluster, rotated, session):
    """It is not taken for a connection that nobody has defined."""
    worker1 = cluster.node("worker1")
    try:
        worker1.check_output(f"chmod 0666 {FILE}")
        run = cluster.begin("connection_probe", f"insecure-{session}")
        assert cluster.end(run)["state"] == "failed"
    finally:
        refresh(cluster, "--limit", "worker1")
    log = cluster.log(run, "before")
    assert f"{FILE}: has the mode 0666, wider than 0640" in log
    assert "isn't defined" not in log
    assert rotated[2] not in log


def test_unknown_connection_is_not_defined(cluster, session):
    assert session
    found = cluster.node("scheduler1").run("airflow-env airflow connections get NO-SUCH-SOURCE")
    assert found.rc != 0
    assert "not found" in found.stdout + found.stderr


def test_command_line_of_a_scheduler_knows_it(cluster, session):
    assert session
    found = cluster.node("scheduler1").check_output(
        f"airflow-env airflow connections get {SOURCE} --output json 2>/dev/null"
    )
    assert json.loads(found)[0]["login"] == "ebi_etl"
