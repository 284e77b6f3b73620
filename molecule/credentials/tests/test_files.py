"""What lies on the machines, and who can read it."""

import json
import re

import pytest

# What a task does.
READ = """
from rax.credentials import get_credentials, list_credentials
print(*list_credentials())
c = get_credentials("SHARED-01")
print(c["user"], c["host"], c["pass"], c["metadata"]["port"])
"""


def test_each_machine_has_its_own_and_nothing_else(good):
    good.delivered()


@pytest.mark.parametrize(
    ("name", "directory", "file"),
    [
        ("node1", "root:airflow 750", "root:airflow 440"),
        ("node2", "root:airflow 750", "root:airflow 440"),
        ("control1", "caspian-refresh:caspian-refresh 700", "caspian-refresh:caspian-refresh 400"),
    ],
)
def test_owners_and_modes(lab, name, directory, file):
    place = lab.places[name]
    found = lab[name].check_output(f"stat --dereference --format='%U:%G %a' {place} {place}/.. ")
    assert found.splitlines()[0] == directory
    files = lab[name].check_output(f"stat --format='%U:%G %a %h %F' {place}/*.json").splitlines()
    assert files == [f"{file} 1 regular file"] * len(lab.names(name))
    status = lab[name].check_output(f"stat --format='%U:%G %a' {place}.status.json")
    assert status == file
    assert lab[name].file(place).linked_to.startswith(f"{place.rpartition('/')[0]}/.credentials/")
    # The generation before is gone.
    store = place.replace("/credentials", "/.credentials")
    generations = lab[name].check_output(f"ls -d {store}/*").split()
    assert generations == [lab[name].file(place).linked_to]


def test_file_has_the_whole_credential(lab):
    assert lab.credential("node2", "SHARED-01") == {
        "user": "etl",
        "host": "db1.example.org",
        "pass": lab.password("SHARED-01"),
        "url": "",
        "description": "Of the tests",
        "metadata": {"env": "test", "port": 5432},
        "protected": [],
    }


@pytest.mark.parametrize(
    ("name", "sources"), [("node1", "SCHEDULER-01 SHARED-01"), ("node2", "SHARED-01 WORKER-01")]
)
def test_tasks_read_them(lab, name, sources):
    read = lab.ssh(name, "-u airflow env PYTHONPATH=/opt/lab/src python3 -", READ)
    assert read.splitlines() == [
        sources,
        f"etl db1.example.org {lab.password('SHARED-01')} 5432",
    ]


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("node1", "nobody"),
        ("node1", "deploy"),
        ("node1", "caspian-refresh"),
        ("control1", "nobody"),
        ("control1", "deploy"),
    ],
)
def test_nobody_else_reads_them(lab, name, account):
    refused = lab[name].run(f"sudo -u {account} sh -c 'cat {lab.places[name]}/*'")
    assert refused.rc != 0
    assert refused.stdout == ""
    assert "Permission denied" in refused.stderr


def test_status_says_when_and_from_where(good):
    good.good()
    status = good.status("node2")
    assert status["vault"] == "caspian.airflow.passwordsafe"
    assert status["by"] == "caspian-refresh@control1"
    assert status["generation"] == good["node2"].file("/etc/airflow/credentials").linked_to[-16:]
    assert set(status["sources"]) == {"SHARED-01", "WORKER-01"}
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    for source in status["sources"].values():
        assert source["state"] == "current"
        assert source["error"] is None
        assert re.fullmatch("[0-9a-f]{64}", source["fingerprint"])
        assert re.fullmatch(time, source["changed_at"])
        assert source["last_good_at"] == status["refreshed_at"]
    readable = good["node2"].run("sudo -u airflow cat /etc/airflow/credentials.status.json")
    assert json.loads(readable.stdout) == status


def test_password_of_the_vault_is_the_service_s_alone(lab):
    control1, path = lab["control1"], "/etc/caspian-refresh/vault_password"
    assert control1.check_output(f"stat --format='%U:%G %a' {path}") == "root:root 400"
    password = (lab.path / "secrets" / "passwordsafe").read_text()
    assert password not in control1.file(path).content_string
    assert "LoadCredentialEncrypted=vault_password:" in control1.check_output(
        "systemctl cat caspian-refresh"
    )
    # It opens with this host's key, which is root's, and nothing but the secret is in it.
    opened = lab.ssh("control1", f"systemd-creds decrypt --name=vault_password {path} -")
    assert opened == password
    for command in (f"cat {path}", f"systemd-creds decrypt --name=vault_password {path} -"):
        refused = control1.run(f"sudo -u caspian-refresh {command}")
        assert refused.rc != 0
        assert password not in refused.stdout
    # What systemd hands to the service, it takes back at its end.
    assert not control1.file("/run/credentials/caspian-refresh.service").exists


def test_account_that_runs_it_reaches_nothing_but_the_nodes(lab):
    # From another address than the control node's, its key does not let in.
    for name in lab.nodes:
        keys = lab[name].file("/var/lib/caspian-refresh/.ssh/authorized_keys").content_string
        assert re.match(r'restrict,from="[0-9.,]+" ssh-ed25519 ', keys), keys
        assert lab.cluster.address("control1") in keys
    login = lab["control1"].run("sudo -u caspian-refresh sudo -n true")
    assert login.rc != 0
