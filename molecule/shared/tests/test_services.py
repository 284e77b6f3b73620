"""What runs where, how locked in, and on which ports."""

import json
import urllib.error
import urllib.request

import pytest

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
# Ports of what stands in for PagerDuty, on the control node.
SITE = {False: set(), True: {8445}}


def ports(node):
    """Return the addresses and ports that the node listens on by TCP."""
    lines = node.check_output("ss --listening --tcp --numeric --no-header").splitlines()
    return {line.split()[3] for line in lines}


def open_ports(node):
    """Return the ports that others may reach, but for ssh."""
    return {
        int(at.rsplit(":", 1)[1]) for at in ports(node) if not at.startswith(("127.", "[::1]"))
    } - {22}


@pytest.mark.parametrize("component", COMPONENTS)
def test_component_of_a_scheduler_runs_and_survives_a_reboot(scheduler1, component):
    unit = scheduler1.service(f"airflow-{component}")
    assert unit.is_running
    assert unit.is_enabled


def test_worker_runs_and_survives_a_reboot(worker):
    unit = worker.service("airflow-worker")
    assert unit.is_running
    assert unit.is_enabled


def test_nodes_run_their_own_components_alone(cluster):
    listed = "systemctl list-unit-files --plain --no-legend 'airflow-*.service' | cut -d' ' -f1"
    here = {"airflow-worker.service", "airflow-maintenance.service"}
    assert set(cluster.node("worker1").check_output(listed).split()) == here
    assert set(cluster.node("scheduler1").check_output(listed).split()) == {
        f"airflow-{component}.service" for component in (*COMPONENTS, "maintenance")
    }


def test_no_unit_has_failed(airflow_node, control):
    for node in (airflow_node, control):
        assert node.check_output("systemctl --failed --plain --no-legend") == ""


def test_sandbox_holds_and_is_rated_low(airflow_node):
    units = airflow_node.check_output(
        "systemctl list-units --plain --no-legend 'airflow-*.service' | cut -d' ' -f1"
    )
    for unit in units.split():
        rating = airflow_node.check_output(f"systemd-analyze security {unit} | tail -n 1")
        assert float(rating.split()[-3]) < 3, rating
        process = airflow_node.check_output(f"systemctl show --property=MainPID --value {unit}")
        # In the service's own view of the system, /etc can not be written.
        options = airflow_node.check_output(
            f"awk '$5 == \"/\" {{ print $6; exit }}' /proc/{process}/mountinfo"
        )
        assert options.split(",")[0] == "ro", f"{unit} of {airflow_node}: / is mounted {options}"


def test_scheduler_listens_where_others_look_for_it(scheduler1, cluster):
    # API, triggerer logs; PostgreSQL; Redis.
    expected = {8080, 8794, 5432, 6379}
    # Scheduler health, which Airflow has for IPv4 alone.
    expected |= {8974} if "." in cluster.address("scheduler1") else set()
    assert open_ports(scheduler1) == expected | SITE[cluster.control == "scheduler1"]
    at = cluster.url_host("scheduler1")
    assert {f"{at}:{port}" for port in expected - {8794}} <= ports(scheduler1)


def test_worker_serves_its_logs_and_nothing_else(worker):
    assert open_ports(worker) == {8793}


def test_control_serves_nothing_but_what_stands_in_for_pagerduty(control, cluster):
    if cluster.control != "scheduler1":
        assert open_ports(control) == SITE[True]


def reply(cluster, path, body=None):
    """Return status and JSON of a request to the API without a token."""
    request = urllib.request.Request(
        f"http://{cluster.url_host('scheduler1')}:8080{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {}


def test_every_component_says_that_it_is_healthy(cluster):
    status, health = reply(cluster, "/api/v2/monitor/health")
    assert status == 200
    assert {name: state["status"] for name, state in health.items()} == dict.fromkeys(
        ("metadatabase", "scheduler", "triggerer", "dag_processor"), "healthy"
    )


def test_nothing_is_shown_without_a_login(cluster):
    assert reply(cluster, "/api/v2/dags")[0] == 401


@pytest.mark.parametrize("password", ["admin", "airflow", "wrong"])
def test_no_default_password_opens_the_door(cluster, password):
    assert reply(cluster, "/auth/token", {"username": "admin", "password": password})[0] == 401


def test_generated_password_does(cluster):
    body = {"username": "admin", "password": cluster.secret("airflow_admin_password")}
    status, token = reply(cluster, "/auth/token", body)
    assert status in (200, 201)
    assert token["access_token"]


def test_logs_are_rotated_and_removed(airflow_node):
    assert airflow_node.run("logrotate --debug /etc/logrotate.d/airflow").rc == 0
    airflow_node.check_output(
        "install -d -o airflow /var/log/airflow/dag_id=old"
        " && touch -d '40 days ago' /var/log/airflow/dag_id=old/attempt=1.log"
    )
    airflow_node.check_output("systemd-tmpfiles --clean /etc/tmpfiles.d/airflow.conf")
    assert not airflow_node.file("/var/log/airflow/dag_id=old/attempt=1.log").exists
