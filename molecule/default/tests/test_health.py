"""The proof at the end of site.yml fails where something is broken, and says what and where."""

import subprocess

import pytest


def prove(cluster, seconds):
    """Run the proof; return its exit code and output."""
    done = subprocess.run(
        ["ansible-playbook", "-i", cluster.inventory, "playbooks/health.yml",
         "--extra-vars", f"airflow_health_timeout={seconds}"],
        cwd=cluster.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("node", "component", "problem"),
    [
        ("worker2", "worker", "worker: it does not answer a Celery ping"),
        ("scheduler1", "triggerer", "triggerer: its unit is inactive"),
    ],
)
def test_broken_component_is_named_with_its_host_and_journal(cluster, node, component, problem):
    host = cluster.node(node)
    host.check_output(f"systemctl stop airflow-{component}")
    try:
        code, output = prove(cluster, 15)
    finally:
        host.check_output(f"systemctl start airflow-{component}")
    assert code != 0
    assert f"{node} is not healthy" in output
    assert problem in output
    # What systemd says last of a unit that was stopped.
    assert f"Stopped airflow-{component}.service" in output
    assert "Traceback" not in output


@pytest.mark.timeout(200)
def test_healthy_cluster_passes(cluster):
    code, output = prove(cluster, 120)
    assert code == 0, output
