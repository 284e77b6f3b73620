"""Who holds which secret, and who can read what."""

import pytest

# The generated secrets that only the components of a scheduler node may hold.
SCHEDULERS_ALONE = (
    "metadata_db_password",
    "airflow_fernet_key",
    "airflow_jwt_secret",
    "airflow_admin_password",
)
LIBRARY = (
    "/opt/airflow/current/bin/python -c 'from rax.credentials import get_credentials as g; {}'"
)


def as_airflow(node, command):
    return node.run("sudo -u airflow -- sh -c %s", command)


def test_controller_keeps_them_to_itself(cluster):
    for path in (cluster.lab / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


@pytest.mark.parametrize("secret", SCHEDULERS_ALONE)
def test_worker_holds_none_that_it_must_not_have(cluster, secret):
    for name in cluster.workers:
        # In no file of ours, and in no process's environment.
        cluster.send(name, "/run/needle", cluster.secret(secret))
        found = cluster.node(name).run(
            "grep --recursive --files-with-matches --fixed-strings --file=/run/needle"
            " /etc/airflow /opt/airflow/build /home/airflow /etc/systemd/system"
            " /proc/[0-9]*/environ 2>/dev/null; rm /run/needle"
        )
        assert found.stdout == "", f"it is on {name}: {found.stdout}"


def test_the_search_above_finds_what_is_there(cluster):
    cluster.send("worker1", "/run/needle", cluster.secret("broker_password"))
    found = cluster.node("worker1").run(
        "grep --recursive --files-with-matches --fixed-strings --file=/run/needle"
        " /etc/airflow; rm /run/needle"
    )
    assert found.stdout == "/etc/airflow/worker.env\n"


def test_worker_knows_broker_log_key_and_who_signs(worker):
    names = worker.check_output("cut -d= -f1 /etc/airflow/worker.env").split()
    assert set(names) == {
        "AIRFLOW__CELERY__BROKER_URL",
        "AIRFLOW__API__SECRET_KEY",
        "RAX_WORKLOAD_PUBLIC_KEYS",
    }


def test_environment_files_are_root_s_alone(airflow_node):
    # Those of the components; rax.env is for everybody who runs rax, and holds no secret.
    listed = airflow_node.check_output("ls /etc/airflow/*.env").split()
    files = [path for path in listed if path != "/etc/airflow/rax.env"]
    assert files
    for path in files:
        assert airflow_node.check_output(f"stat --format='%U:%G %a' {path}") == "root:root 400"
        assert as_airflow(airflow_node, f"cat {path}").rc != 0


@pytest.mark.parametrize("name", ["airflow.cfg", "rax.env"])
def test_settings_hold_no_secret(airflow_node, cluster, name):
    settings = airflow_node.file(f"/etc/airflow/{name}").content_string
    for path in (cluster.lab / "secrets").iterdir():
        assert path.read_text().strip() not in settings, path.name


def test_library_reads_them(airflow_node, cluster):
    got = as_airflow(
        airflow_node,
        LIBRARY.format('c = g("EBI-ETL-DEV-01"); print(c["user"], c["host"], len(c["pass"]))'),
    )
    assert got.stdout.split() == ["ebi_etl", "scheduler1", str(len(cluster.secret("etl_password")))]
    shown = as_airflow(airflow_node, LIBRARY.format('print(g("EBI-ETL-DEV-01"))'))
    assert cluster.secret("etl_password") not in shown.stdout
    assert "ebi_etl" in shown.stdout


def test_control_node_holds_credential_files_where_it_is_a_node_of_airflow_alone(control, cluster):
    is_airflow = cluster.control == "scheduler1"
    assert control.file("/etc/airflow/credentials").exists == is_airflow


def test_refresh_runs_by_its_timer(control):
    assert control.service("caspian-refresh.timer").is_running
    assert control.service("caspian-refresh.timer").is_enabled
    control.check_output("systemctl start caspian-refresh")
    shown = control.check_output("systemctl show --property=Result,ExecMainStatus caspian-refresh")
    assert set(shown.split()) == {"Result=success", "ExecMainStatus=0"}


def test_refresh_says_nothing_secret(control, airflow_node, cluster):
    for node in (control, airflow_node):
        journal = node.check_output("journalctl --no-pager --output=cat")
        for path in (cluster.lab / "secrets").iterdir():
            assert path.read_text().strip() not in journal, path.name
