"""An API server that is away for a minute and a broker that is for half of it cost no task."""

import json
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest

DAG = "outage_probe"
PATH = f"/api/v2/dags/{DAG}/dagRuns"
# Where tasks write down what they do: a component has a /tmp of its own.
NOTES = "/home/airflow/outage"
# By its name, how long each task of a run takes, in seconds.
THROUGH = {"short": 15, "medium": 40, "long": 90}
QUICK = {"short": 2, "medium": 4, "long": 6}
SOURCE = f'''"""Tasks that write down when they begin and end."""
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, get_current_context, task

with DAG(
    "{DAG}",
    schedule=None,
    is_paused_upon_creation=False,
    default_args={{"retries": 1, "retry_delay": timedelta(seconds=1)}},
):
    for name in {list(THROUGH)}:

        @task(task_id=name)
        def work(name):
            run = get_current_context()["dag_run"]
            notes = Path("{NOTES}", run.run_id, name)
            notes.parent.mkdir(parents=True, exist_ok=True)
            with notes.open("a", buffering=1) as file:
                file.write(f"begins {{time.time():.1f}}\\n")
                time.sleep(run.conf[name])
                file.write(f"ends {{time.time():.1f}}\\n")

        work(name)
'''


class Probe:
    """Runs of that DAG, and what their tasks wrote down."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.session = secrets.token_hex(3)
        self.runs = []

    def begin(self, name, later, seconds):
        """Have a run begin so many seconds later, with tasks of these lengths."""
        run = f"{name}-{self.session}"
        after = datetime.now(UTC) + timedelta(seconds=later)
        self.cluster.api.call(
            "POST",
            PATH,
            {
                "dag_run_id": run,
                "logical_date": None,
                "run_after": after.isoformat(),
                "conf": seconds,
            },
        )
        self.runs.append(run)
        return run

    def notes(self):
        """Return the lines of each task that has begun, as ``{"run/task": [[word, seconds]]}``."""
        found = {}
        for worker in self.cluster.workers:
            lines = self.cluster.node(worker).run(f"cd {NOTES} && grep -r . *-{self.session}")
            for line in lines.stdout.splitlines():
                where, _, note = line.partition(":")
                word, seconds = note.split()
                found.setdefault(where, []).append((word, float(seconds)))
        return found


@pytest.fixture
def probe(cluster, scheduler1):
    probe = Probe(cluster)
    cluster.wait_until_parsed(probe_release(cluster), DAG, seconds=120)
    yield probe
    # Whatever the test left away.
    scheduler1.check_output("systemctl start redis-server airflow-api-server")
    for worker in cluster.workers:
        cluster.node(worker).check_output(f"rm -rf {NOTES}")


def probe_release(cluster):
    """Publish the DAG everywhere and return the release."""
    sha = cluster.push({"dags/outage_probe.py": SOURCE}, "Tell of outages")
    cluster.sync(sha)
    return sha


@pytest.mark.timeout(600)
def test_an_outage_of_a_minute_costs_no_task(cluster, scheduler1, probe):
    through = probe.begin("through", 0, THROUGH)
    cluster.wait(lambda: len(probe.notes()) == len(THROUGH), 60, "the first tasks have begun")
    # Their tasks start while the API server is away, and the second's while the broker is too.
    probe.begin("into-api", 8, QUICK)
    probe.begin("into-both", 25, QUICK)

    scheduler1.check_output("systemctl stop airflow-api-server")
    away = time.time()
    time.sleep(12)
    scheduler1.check_output("systemctl stop redis-server")
    time.sleep(30)
    healthy = scheduler1.run(
        f"python3 -c 'import urllib.request as r; "
        f'r.urlopen("http://{cluster.url_host("scheduler1")}:8974/health")\''
    )
    scheduler1.check_output("systemctl start redis-server")
    time.sleep(max(0, away + 60 - time.time()))
    begun = probe.notes()
    paused = [said(cluster, worker) for worker in cluster.workers]
    scheduler1.check_output("systemctl start airflow-api-server")

    # The scheduler went on without its broker, and tasks ended without the API server. No worker
    # took more of them.
    assert healthy.rc == 0, healthy.stderr
    assert all(said.startswith("the API server does not answer") for said in paused), paused
    assert [word for word, _ in begun[f"{through}/medium"]] == ["begins", "ends"]
    cluster.wait(lambda: answers(cluster), 180, "the API server answers")
    for run in probe.runs:
        assert cluster.end(f"{PATH}/{run}", 120)["state"] == "success", cluster.tasks(
            f"{PATH}/{run}"
        )
        tries = cluster.api.call("GET", f"{PATH}/{run}/taskInstances")["task_instances"]
        assert {task["task_id"]: task["try_number"] for task in tries} == dict.fromkeys(THROUGH, 1)
    cluster.wait(
        lambda: not any(said(cluster, worker) for worker in cluster.workers), 20, "tasks are taken"
    )
    written = {where: [word for word, _ in lines] for where, lines in probe.notes().items()}
    assert written == {
        f"{run}/{task}": ["begins", "ends"] for run in probe.runs for task in THROUGH
    }


def said(cluster, worker):
    """Return why a worker takes no tasks, "" if it takes some."""
    found = cluster.node(worker).run("cat /run/airflow-worker/guard.json")
    return json.loads(found.stdout)["paused"] if found.rc == 0 else ""


def answers(cluster):
    """Return what the API server says, or None."""
    try:
        return cluster.api.call("GET", "/api/v2/version")
    except SystemExit:
        return None
