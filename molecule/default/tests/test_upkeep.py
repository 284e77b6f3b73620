"""What grows with each task stays within bounds, and nothing that runs is harmed by it."""

import json
import re

import pytest

SLEEPER = '''"""A task that is silent."""
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("silent", schedule=None, is_paused_upon_creation=False):
    BashOperator(task_id="sleep", bash_command="sleep 30", queue="worker2")
'''
UNIT, STATUS = "airflow-maintenance", "/var/lib/airflow-maintenance/status.json"


def sql(scheduler1, query, database="airflow"):
    psql = f"runuser -u postgres -- psql -qAt -v ON_ERROR_STOP=1 {database}"
    return scheduler1.check_output(f'{psql} -c "{query}"')


@pytest.mark.timeout(400)
def test_old_runs_go_and_the_newest_stays(cluster, scheduler1):
    for number in range(2):
        cluster.end(cluster.begin("caspian_health", f"aged-{number}"))
    sql(
        scheduler1,
        "UPDATE dag_run SET end_date = end_date - interval '400 days'"
        " WHERE dag_id = 'caspian_health'",
    )
    # The last run did it today, perhaps.
    scheduler1.check_output(f"rm -f {STATUS}")
    scheduler1.check_output(f"systemctl start {UNIT}")
    status = json.loads(scheduler1.check_output(f"cat {STATUS}"))
    assert status["problems"] == []
    assert status["history_cleaned"]
    # Other tests may have left runs whose worker went away, which have not ended.
    left = "SELECT run_id FROM dag_run WHERE dag_id = 'caspian_health' AND end_date IS NOT NULL"
    assert sql(scheduler1, left) == "aged-1"
    tasks = (
        "SELECT DISTINCT run_id FROM task_instance JOIN dag_run USING (dag_id, run_id)"
        " WHERE dag_id = 'caspian_health' AND dag_run.end_date IS NOT NULL"
    )
    assert sql(scheduler1, tasks) == "aged-1"


def test_a_worker_cleans_its_logs_alone_without_a_secret(worker):
    worker.check_output(f"systemctl start {UNIT}")
    status = json.loads(worker.check_output(f"cat {STATUS}"))
    assert status["problems"] == []
    assert "history_cleaned" not in status
    assert not worker.file("/etc/airflow/maintenance.env").exists


def test_the_timer_runs(airflow_node):
    timer = airflow_node.service(f"{UNIT}.timer")
    assert timer.is_running
    assert timer.is_enabled


@pytest.mark.timeout(240)
def test_the_log_of_a_running_task_stays(cluster):
    """The process that writes it is found out by the kernel: it hides what it has open."""
    worker2 = cluster.node("worker2")
    sha = cluster.push({"dags/silent.py": SLEEPER}, "Add a task that is silent")
    cluster.sync(sha)
    cluster.wait_until_parsed(sha, "silent")
    run = cluster.begin("silent", "one")
    cluster.wait(lambda: cluster.tasks(run).get("sleep") == "running", 60, "the task runs")
    folder = "/var/log/airflow/dag_id=silent"
    cluster.wait(
        lambda: worker2.run(f"find {folder} -name '*.log' | grep log").rc == 0, 20, "it has a log"
    )
    worker2.check_output(f"runuser -u airflow -- sh -c 'echo old > {folder}/old.log'")
    worker2.check_output(
        "runuser -u airflow -- /opt/airflow/current/bin/python -c "
        f"'from rax.airflow._old_logs import remove_oldest; remove_oldest(\"{folder}\", 0)'"
    )
    (left,) = worker2.check_output(f"find {folder} -type f").splitlines()
    assert left.endswith("attempt=1.log")
    assert cluster.end(run)["state"] == "success"
    assert "Could not read served logs" not in cluster.log(run, "sleep")


GUESS = """
import json, sys, urllib.request, urllib.error
for number in range(6):
    asked = urllib.request.Request(
        sys.argv[1] + "/auth/token", json.dumps({"username": "admin", "password": "x"}).encode(),
        {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(asked)
    except urllib.error.HTTPError as error:
        print(error.code, error.headers.get("Retry-After"))
"""


def test_guessing_passwords_is_limited_for_who_guesses(cluster):
    """Airflow limits the form alone. The plugin is found, in the server as it is deployed."""
    worker2 = cluster.node("worker2")
    url = f"http://{cluster.url_host('scheduler1')}:8080"
    cluster.send("worker2", "/run/guess.py", GUESS)
    told = worker2.check_output(f"python3 /run/guess.py {url}").splitlines()
    assert told[:5] == ["401 None"] * 5
    assert re.fullmatch(r"429 [0-9]+", told[5])
    # Others log in.
    assert cluster.api.call("POST", "/auth/token", {
        "username": "admin", "password": cluster.secret("airflow_admin_password"),
    })["access_token"]  # fmt: skip
