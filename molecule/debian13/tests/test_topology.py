"""A cluster that knows its nodes by IPv6 addresses, and whose scheduler is the control node too."""

import json
import re
from pathlib import Path

import pytest

VAULT = "/etc/caspian-refresh/vault.kdbx"


def urls(node, component):
    """Return the URLs that a component is given, without their passwords."""
    found = node.check_output(f"cat /etc/airflow/{component}.env")
    return dict(re.findall(r'^AIRFLOW__(\w+)="[^"]*?://(?:[^@"]*@)?([^"]*)"', found, re.MULTILINE))


def test_components_are_told_of_each_other_by_ipv6(cluster, scheduler1):
    host = cluster.url_host("scheduler1")
    assert host.startswith("[")
    database = f"{host}:5432/airflow?sslmode=require&channel_binding=require"
    told = {"CELERY__BROKER_URL": f"{host}:6379/0"}
    assert urls(cluster.node("worker1"), "worker") == told
    assert urls(scheduler1, "scheduler") == told | {
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": database,
    }
    settings = scheduler1.check_output("cat /etc/airflow/airflow.cfg")
    assert f"base_url = http://{host}:8080\n" in settings
    assert f"execution_api_server_url = http://{host}:8080/execution/\n" in settings


def peers(node, port):
    """Return the addresses that are connected to a port of a node, without its loopback."""
    shown = f"ss --tcp --numeric --no-header state established 'sport = :{port}'"
    found = {line.split()[-1].rpartition(":")[0] for line in node.check_output(shown).splitlines()}
    return found - {"127.0.0.1", "[::1]"}


@pytest.mark.parametrize("port", [5432, 6379])
def test_services_are_asked_over_ipv6_alone(cluster, scheduler1, port):
    known = {name: cluster.url_host(name) for name in cluster.nodes}
    wanted = set(known.values()) if port == 6379 else {known["scheduler1"]}
    # A worker that another test has stopped and started needs a moment.
    cluster.wait(
        lambda: wanted <= peers(scheduler1, port), 90, f"{sorted(wanted)} are connected to {port}"
    )
    assert peers(scheduler1, port) <= set(known.values())


def test_every_connection_to_postgresql_is_encrypted(scheduler1):
    query = (
        "select count(*), count(*) filter (where not ssl) from pg_stat_ssl"
        " join pg_stat_activity using (pid) where usename like 'airflow%'"
    )
    counted = scheduler1.check_output(f'sudo -u postgres psql -Atc "{query}"')
    every, plain = map(int, counted.split("|"))
    assert every > 0
    assert plain == 0


def test_a_run_that_is_waited_for_is_read_over_such_a_connection_too(cluster):
    """The API server's own driver for it, psycopg, takes libpq's options; asyncpg would not."""
    run = cluster.begin("caspian_health", "waited-for")
    assert cluster.end(run)["state"] == "success"
    assert cluster.api.call("GET", f"{run}/wait?interval=1")["state"] == "success"


def test_logs_of_a_worker_are_read(cluster):
    run = cluster.begin("caspian_health", "logs")
    cluster.end(run)
    assert "Could not read served logs" not in cluster.log(run, "on_worker1")


def test_dags_come_over_ipv6(cluster):
    for name in cluster.nodes:
        settings = json.loads(cluster.node(name).check_output("cat /etc/airflow/dag_sync.json"))
        host = cluster.url_host("scheduler1")
        assert settings["repository"] == f"ssh://git@{host}/srv/git/dags.git"


def test_the_refresh_is_let_in_from_both_versions_of_ip_and_by_no_link_local_address(cluster):
    address = cluster.address("scheduler1")
    for name in cluster.nodes:
        node = cluster.node(name)
        line = node.check_output("cat /var/lib/caspian-refresh/.ssh/authorized_keys")
        sources = re.search(r'from="([^"]*)"', line)[1].split(",")
        assert address in sources
        assert any(re.fullmatch(r"[0-9.]+", source) for source in sources)
        assert not any(source.startswith("fe80") for source in sources)
        assert ("::1" in sources) == (name == "scheduler1")


@pytest.mark.parametrize(
    ("name", "other", "code"), [("scheduler1", "worker1", 0), ("worker1", "scheduler1", 255)]
)
def test_the_refresh_s_key_is_of_use_on_the_control_node_alone(cluster, name, other, code):
    """A copy of the key is refused where it comes from another node of the same network."""
    key = cluster.node("scheduler1").check_output("cat /var/lib/caspian-refresh/id_ed25519")
    cluster.send(name, "/run/stolen", key + "\n")
    node = cluster.node(name)
    try:
        # testinfra would take the code for its own ssh's.
        tried = node.run(
            "ssh -i /run/stolen -o BatchMode=yes -o StrictHostKeyChecking=no -o"
            f" UserKnownHostsFile=/dev/null caspian-refresh@{cluster.address(other)} true;"
            " echo $?"
        )
    finally:
        node.check_output("rm /run/stolen")
    assert tried.stdout == f"{code}\n"
    assert ("Permission denied" in tried.stderr) == bool(code)


def test_the_refresh_reaches_its_own_node_as_root(scheduler1):
    """A file that was changed there is repaired, though nothing in the unit may become root."""
    path = "/etc/airflow/credentials/EBI-ETL-DEV-01.json"
    scheduler1.check_output(f"chmod 0644 {path}")
    scheduler1.check_output("systemctl start caspian-refresh")
    assert scheduler1.check_output(f"stat --format='%U:%G %a' -L {path}") == "root:airflow 440"
    unit = scheduler1.check_output("systemctl cat caspian-refresh")
    assert "NoNewPrivileges=true" in unit


def test_the_refresh_runs_with_the_newest_ansible_that_is_locked(scheduler1):
    """Its other tests then say that the plugins and modules get on with it."""
    lock = (Path(__file__).parents[3] / "requirements/refresh.txt").read_text()
    newest = re.findall(r"^ansible-core==(\S+)", lock, re.MULTILINE)[-1]
    shown = scheduler1.check_output("/opt/caspian-refresh/current/bin/ansible --version")
    assert shown.startswith(f"ansible [core {newest}]")


def test_a_dag_author_on_the_control_node_reaches_nothing_of_the_refresh(scheduler1):
    for path in (
        VAULT, "/etc/caspian-refresh/vault_password", "/etc/caspian-refresh/inventory.json",
        "/var/lib/caspian-refresh/id_ed25519",
    ):  # fmt: skip
        assert scheduler1.file(path).exists
        assert scheduler1.run(f"sudo -u airflow cat {path}").rc != 0
    assert scheduler1.run("sudo -u airflow sudo -n true").rc != 0


def test_the_refresh_alerts_with_the_key_that_it_reads_as_tasks_do(scheduler1):
    events = "/srv/fakes/pagerduty/events.jsonl"
    before = scheduler1.run(f"cat {events}").stdout
    scheduler1.check_output(f"mv {VAULT} {VAULT}.away")
    try:
        assert scheduler1.run("systemctl start caspian-refresh").rc != 0
    finally:
        scheduler1.check_output(f"mv {VAULT}.away {VAULT}")
    scheduler1.check_output("systemctl start caspian-refresh")
    new = scheduler1.check_output(f"cat {events}").removeprefix(before.strip()).splitlines()
    sent = [json.loads(line)["event_action"] for line in new if line]
    assert sent == ["trigger", "resolve"]
