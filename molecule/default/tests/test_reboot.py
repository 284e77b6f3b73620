"""The power fails for all machines at once, and everything comes back without anybody's help."""

import json
import re
import subprocess
import time

import pytest

DATABASE, BROKER = "postgresql@15-main", "redis-server"


@pytest.fixture
def engine(cluster):
    """Return what runs a command of the container engine on nodes, given by their names."""
    name = cluster.local("scripts/nodes", "engine").strip()

    def run(command, nodes, *arguments):
        containers = [f"caspian-{cluster.lab.name}-{node}" for node in nodes]
        return cluster.local(name, *command.split(), *containers, *arguments)

    return run


def is_healthy(cluster):
    # Cheaper to ask, and among the last to come: the API server, with what its database knows.
    try:
        health = cluster.api.call("GET", "/api/v2/monitor/health")
    except SystemExit:
        return False
    if {part["status"] for part in health.values()} != {"healthy"}:
        return False
    # What has ended while others were away is told for ten minutes, and a refresh until the next.
    told = {"health_timeout": 30, "health_tolerate": ["restarting", "refresh", "alerts-kept"]}
    done = subprocess.run(
        ["ansible-playbook", "-i", cluster.inventory, "playbooks/health.yml",
         "--extra-vars", json.dumps(told)],
        cwd=cluster.root, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def answers(cluster, port):
    """Connect from another node."""
    address = cluster.address("scheduler1")
    cluster.node("worker1").check_output(f"bash -c '</dev/tcp/{address}/{port}'")


@pytest.mark.timeout(700)
def test_cluster_comes_back_by_itself_the_database_last(cluster, engine, control1):
    engine("kill", [*cluster.nodes, "control1"])
    engine("start", [*cluster.workers, "control1"])
    # By now, what needs the database or the broker has failed, more than once.
    time.sleep(15)
    engine("start", ["scheduler1"])
    cluster.wait(lambda: is_healthy(cluster), 600, "the cluster is healthy")
    for unit in ("caspian-refresh.timer", "fake@pagerduty"):
        assert control1.service(unit).is_running


def test_database_and_broker_listen_on_an_address_that_comes_after_them(cluster, engine):
    def change(what, *arguments):
        engine("exec --privileged", ["scheduler1"], "ip", what, *arguments, "dev", "eth0")

    route = json.loads(engine("exec", ["scheduler1"], "ip", "-json", "route", "show", "default"))
    address = cluster.address("scheduler1")
    change("address", "delete", f"{address}/24")
    try:
        engine("exec", ["scheduler1"], "systemctl", "restart", DATABASE, BROKER)
    finally:
        change("address", "add", f"{address}/24")
        change("route", "add", "default", "via", route[0]["gateway"])
    for port in (5432, 6379):
        answers(cluster, port)


def test_a_worker_that_ends_without_an_error_is_started_again(cluster):
    """A worker of Airflow ends with 0 when it gives up on the broker, too."""
    node = cluster.node("worker1")
    asked = "systemctl show --property=MainPID --value airflow-worker"
    before = node.check_output(asked)
    node.check_output(f"kill -TERM {before}")
    cluster.wait(
        lambda: node.check_output(asked) not in ("0", before), 60, "another process is the worker"
    )


@pytest.mark.timeout(300)
def test_site_restarts_a_database_that_runs_without_its_socket(cluster, scheduler1, tmp_path):
    def sql(statement):
        scheduler1.check_output(f'sudo -u postgres psql -c "{statement}"')

    def deploy():
        output = cluster.local("ansible-playbook", "-i", cluster.inventory, str(play))
        return int(re.search(r"changed=(\d+)", output)[1])

    # What site.yml does for the database, and nothing else of it.
    play = tmp_path / "database.yml"
    play.write_text(
        "[{hosts: metadata_db, become: true, roles: [{role: caspian.airflow.metadata_db}]}]"
    )
    (tmp_path / "group_vars").symlink_to(cluster.root / "playbooks/group_vars")
    sql("ALTER SYSTEM SET listen_addresses = 'localhost'")
    try:
        scheduler1.check_output(f"systemctl restart {DATABASE}")
    finally:
        sql("ALTER SYSTEM RESET listen_addresses")
    assert deploy() == 1
    answers(cluster, 5432)
