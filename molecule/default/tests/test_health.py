"""Whether all is well: what is broken is told with its host and kind, and of no other host."""

import json
import subprocess

import pytest

# For the answer of a frozen host, and for what is stopped below; the others answer sooner.
SECONDS = 25


@pytest.fixture
def ask(cluster, tmp_path):
    """Ask; return the exit code, what was printed, and the problems of the report."""

    def run(*variables):
        path = tmp_path / "report.json"
        words = [word for text in (f"health_report_path={path}", *variables)
                 for word in ("--extra-vars", text)]  # fmt: skip
        done = subprocess.run(
            ["ansible-playbook", "-i", cluster.inventory, "playbooks/health.yml", *words],
            cwd=cluster.root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        report = json.loads(path.read_text())
        problems = {(one["host"], one["component"], one["kind"]) for one in report["problems"]}
        return done.returncode, done.stdout, problems

    return run


@pytest.mark.timeout(300)
def test_what_is_broken_is_told_of_its_host_alone(cluster, ask):
    """A stopped worker, a stopped triggerer, and a host that takes log-ins and never answers."""
    nodes = {name: cluster.node(name) for name in ("scheduler1", "worker2", "control1")}
    nodes["scheduler1"].check_output("systemctl stop airflow-triggerer")
    nodes["worker2"].check_output("systemctl stop airflow-worker")
    # It thaws by itself: nobody can log in to do it.
    later = "systemd-run --quiet --timer-property=AccuracySec=1s --on-active"
    nodes["control1"].check_output(
        f"{later}={SECONDS + 15} pkill -CONT sshd && {later}=1 pkill -STOP sshd"
    )
    try:
        code, output, problems = ask(f"health_timeout={SECONDS}", f"health_host_seconds={SECONDS}")
    finally:
        nodes["worker2"].check_output("systemctl start airflow-worker")
        nodes["scheduler1"].check_output("systemctl start airflow-triggerer")
        cluster.wait(lambda: nodes["control1"].run("true").rc == 0, 60, "control1 answers")
    assert code == 2
    # ssh gives up by itself where it makes a new connection. worker1 has run its task meanwhile.
    frozen = {("control1", "node", kind) for kind in ("unanswered", "unreachable")}
    assert len(problems & frozen) == 1
    assert problems - frozen == {
        ("scheduler1", "triggerer", "inactive"),
        ("worker2", "worker", "inactive"),
    }
    assert "airflow-worker.service is inactive (dead): `journalctl -u airflow-worker" in output
    assert "Traceback" not in output


@pytest.mark.timeout(200)
def test_healthy_cluster_passes(ask):
    code, output, problems = ask()
    assert (code, problems) == (0, set()), output
    assert "All is well on 4 hosts" in output
