"""A worker whose root is hostile: it answers Ansible as it likes, and stays where it is."""

import base64
import json
import subprocess

import pytest

NODE = "worker2"
OTHERS = ("scheduler1", "worker1")
FOLDER = "/srv/hostile"
ESCAPE = "\x1b]0;owned\x07"
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIK6yDkCDdOEi8YtYjGWwhvZ9ahVzjNrDCwvHvLYQGZf"


class Hostile:
    """The worker, with an interpreter that answers what it is told to."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.node = cluster.node(NODE)

    def take_over(self):
        fake = (self.cluster.root / "tests" / "fakes" / "hostile_python.py").read_text()
        real = self.node.check_output("readlink -f /usr/bin/python3")
        self.node.check_output(f"mkdir -p {FOLDER}")
        self.cluster.send(NODE, f"{FOLDER}/python3", fake.replace("/usr/bin/python3", real, 1))
        self.answer({})
        self.node.check_output(
            f"chmod 0755 {FOLDER} {FOLDER}/python3 && ln -s {FOLDER}/python3 /usr/bin/python3.new"
            " && mv -T /usr/bin/python3.new /usr/bin/python3"
        )
        return real

    def give_back(self, real):
        self.node.check_output(f"ln -sfT {real} /usr/bin/python3 && rm -r {FOLDER}")

    def answer(self, answers):
        self.cluster.send(NODE, f"{FOLDER}/answers.json", json.dumps(answers))

    def run(self, *arguments):
        """Run a playbook; return its return code and what it printed."""
        done = subprocess.run(
            ["ansible-playbook", *arguments],
            cwd=self.cluster.root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout

    def refresh(self):
        """Have the timer's refresh run; return what it printed."""
        control = self.cluster.node("control1")
        control.run("systemctl start caspian-refresh.service")
        return control.check_output(
            "journalctl --no-pager --output=cat _SYSTEMD_INVOCATION_ID="
            "$(systemctl show --property=InvocationID --value caspian-refresh.service)"
        )


@pytest.fixture(scope="module")
def hostile(cluster):
    node = Hostile(cluster)
    real = node.take_over()
    yield node
    node.give_back(real)
    # What the control node and its alerts know of this node is true again.
    node.refresh()


@pytest.fixture(scope="module")
def canary(cluster):
    """A file of the controller's that is no node's business."""
    path = cluster.lab / "canary"
    path.write_text("a key of whoever deploys\n")
    yield path
    path.unlink()


@pytest.mark.timeout(900)
def test_it_gets_nothing_but_what_is_a_workers(hostile, canary, cluster):
    """With what took the place of variables in its facts, and in the answer of every module."""
    places = {
        "airflow_lock": str(canary),
        "python_environment_lock": str(canary),
        "airflow_components": ["scheduler", "api-server", "worker"],
        "credentials_sources": ["EBI-ETL-DEV-01", {"name": "STOLEN", "record": "EBI-ETL-DEV-01"}],
        "group_names": ["scheduler", "control"],
        "inventory_hostname": "scheduler1",
        "dag_sync_private_key": "{{ lookup('ansible.builtin.file', '" + str(canary) + "') }}",
    }
    hostile.answer({"*": {"ansible_facts": places}})
    before = hostile.node.check_output("find /etc/airflow -type f | sort")
    code, output = hostile.run("site.yml", "--limit", NODE)
    assert code == 0, output[-3000:]
    assert "setup" in hostile.node.check_output(f"cat {FOLDER}/seen.log")
    assert hostile.node.check_output("find /etc/airflow -type f | sort") == before
    found = hostile.node.run(
        "grep -rl 'a key of whoever deploys' /etc /opt/airflow/build /var/lib /home"
    )
    assert found.stdout == ""
    # Fernet keys are kept as what their base64 is made of.
    fernet = base64.b64encode(cluster.secret("airflow_fernet_key").encode()).decode()
    for secret in (fernet, *map(cluster.secret, ("airflow_jwt_secret", "metadata_db_password"))):
        cluster.send(NODE, "/run/secret", secret)
        assert hostile.node.run("grep -rlFf /run/secret /etc /opt/airflow/build /srv").stdout == ""
    hostile.node.check_output("rm /run/secret")


def test_the_preflight_names_it(hostile):
    hostile.answer({"setup": {"ansible_facts": {"ansible_distribution": ESCAPE}}})
    code, output = hostile.run("site.yml")
    assert code == 2
    message = " ".join(output[output.index("Nothing was changed") :].split())
    assert f"- {NODE}: its answer is not one of a Debian node: the fact distribution" in message
    for other in OTHERS:
        assert f"- {other}: " not in message


@pytest.mark.timeout(300)
def test_the_control_node_knows_it_by_no_other_name(hostile, cluster):
    key = f"{KEY}\n@cert-authority * ssh-ed25519 {KEY}"
    hostile.answer({"setup": {"ansible_facts": {"ansible_ssh_host_key_ed25519_public": key}}})
    control = cluster.node("control1")
    before = control.check_output("cat /etc/caspian-refresh/known_hosts")
    # Of nodes that are not in the run, nothing is known before their keys are asked for.
    code, output = hostile.run("site.yml", "--limit", "control")
    assert code == 2
    assert "the fact ssh_host_key_ed25519_public has a form" in " ".join(output.split())
    assert control.check_output("cat /etc/caspian-refresh/known_hosts") == before


@pytest.mark.timeout(300)
def test_a_refresh_reaches_the_others(hostile, cluster):
    """Whatever it answers: its own part fails with its name, and no line or metric is another's."""
    lies = {
        "problems": ["x"],
        "msg": f"{ESCAPE}\nscheduler1: all is well",
        "summary": {"EBI-ETL-DEV-01": ESCAPE},
        "ansible_stats": 5,
        "warnings": [ESCAPE],
    }
    hostile.answer({"credential_files": lies})
    status = "stat --format=%Y /etc/airflow/credentials.status.json"
    control = cluster.node("control1")
    before = {name: int(cluster.node(name).check_output(status)) for name in OTHERS}
    journal = hostile.refresh()
    assert f"{NODE}" in journal
    assert "\x1b" not in journal
    assert "Traceback" not in journal
    for name in OTHERS:
        assert int(cluster.node(name).check_output(status)) > before[name]
        assert f"fatal: [{name}]" not in journal
    metrics = control.check_output("cat /var/lib/caspian-refresh-metrics/caspian_credentials.prom")
    assert "owned" not in metrics
    for line in metrics.splitlines():
        assert line.startswith(("#", "caspian_credentials_")), line


@pytest.mark.timeout(300)
def test_the_fleets_report_is_of_all_nodes(hostile):
    """Whatever the form of its status, of which tests/attacks/test_node_answers.py has more."""
    status = {"published": f"x{ESCAPE}", "releases": 5, "blocked": ["x"]}
    hostile.answer({"command": {"stdout": json.dumps(status), "stderr": ESCAPE}})
    code, output = hostile.run("playbooks/sync_dags.yml", "--check")
    assert code == 2
    shown = " ".join(output.split())
    for name in OTHERS:
        assert f"{name}: published " in shown
    assert f"{NODE}: " in shown
