"""The refresh that a person runs on the controller, and what the timer makes of it."""

import json

import pytest
import yaml

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)


def sources(lab, tmp_path, *dropped, **more):
    """Return arguments for an inventory whose list lacks these sources."""
    path = lab.cluster.root / "molecule/credentials/inventory/group_vars/all.yml"
    declared = [
        source
        for source in yaml.safe_load(path.read_text())["credentials_sources"]
        if (source if isinstance(source, str) else source["name"]) not in dropped
    ]
    file = tmp_path / "sources.json"
    file.write_text(json.dumps({"credentials_sources": declared, **more}))
    return ["--extra-vars", f"@{file}"]


def test_revoked_source_is_gone_and_the_timer_does_not_bring_it_back(good, tmp_path):
    try:
        output = good.play(*sources(good, tmp_path, "SHARED-01")).good()
        assert "node1: removed SHARED-01" in output
        assert good.names("node1") == {"SCHEDULER-01"}
        assert good.names("node2") == {"WORKER-01"}
        # Nor is there another generation with it.
        for name in good.nodes:
            found = good[name].check_output("find /etc/airflow -name 'SHARED-01*'")
            assert found == ""
        told = good["control1"].file("/etc/caspian-refresh/inventory.json").content_string
        assert "SCHEDULER-01" in told
        assert "SHARED-01" not in told
        assert "SHARED-01" not in good.status("node1")["sources"]
        good.good()
        assert good.names("node1") == {"SCHEDULER-01"}
    finally:
        output = good.play().good()
    assert "node1: added SHARED-01" in output
    good.delivered()


def test_only_one_is_delivered_at_once(good):
    good.rotate("SHARED-01", "SCHEDULER-01", "WORKER-01")
    others = good.credential("node2", "WORKER-01"), good.credential("node1", "SCHEDULER-01")
    output = good.play("--extra-vars", "credentials_only=SHARED-01").good()
    assert "node1: updated SHARED-01" in output
    assert good.credential("node1", "SHARED-01")["pass"] == good.password("SHARED-01")
    assert good.credential("node2", "SHARED-01")["pass"] == good.password("SHARED-01")
    now = good.credential("node2", "WORKER-01"), good.credential("node1", "SCHEDULER-01")
    assert now == others
    # The timer still delivers all of them.
    good.good()
    good.delivered()


def test_limit_serves_one_node_and_warns_of_the_timer(good):
    good.rotate("SHARED-01")
    node2, asked = good.files("node2"), good.asked()
    output = good.play("--limit", "node1").good()
    assert "node1: updated SHARED-01" in output
    assert "control1 is not in this run: its timer refreshes all nodes" in output
    assert good.files("node2") == node2
    assert good.asked() > asked
    output = good.play("--limit", "node2,control").good()
    assert "is not in this run" not in output
    good.delivered()


def test_check_and_diff_show_names_and_change_nothing(good):
    good.rotate("SHARED-01", "WORKER-01")
    before = good.all_files()
    played = good.play("--check", "--diff")
    output = played.good()
    assert good.all_files() == before
    assert played.changed == {"node1", "node2"}
    assert "node2: updated SHARED-01, WORKER-01" in output
    assert "content" in output
    assert [secret for secret in good.secrets() if secret in output] == []
    good.good()


def test_without_pipelining_nothing_is_delivered(good):
    """Ansible turns it off where the files of modules are to be kept."""
    good.rotate("SHARED-01")
    before = good.all_files()
    played = good.play("--limit", "airflow", env={"ANSIBLE_KEEP_REMOTE_FILES": "1"})
    assert played.code != 0
    assert "Pipelining is off" in played.output
    assert "ansible_pipelining: true" in played.output
    assert good.all_files() == before
    good["node1"].run("rm -rf /home/deploy/.ansible")


@pytest.fixture
def other_vault(good, tmp_path):
    """Return what makes the controller and the timer ask another vault, and end as it began."""

    def use(vault, options, control_options, secret, **more):
        file = tmp_path / "vault.json"
        file.touch(0o600)
        password_file = good.path / "secrets" / secret
        file.write_text(
            json.dumps(
                {
                    "credentials_vault": vault,
                    "credentials_vault_options": {**options, "password_file": str(password_file)},
                    "refresh_schedule_vault": vault,
                    "refresh_schedule_vault_options": control_options,
                    "refresh_schedule_vault_password": password_file.read_text(),
                    **more,
                }
            )
        )
        return good.play("--extra-vars", f"@{file}").good()

    yield use
    good.play().good()
    good.delivered()


def test_beyondtrust(good, other_vault):
    address = good.cluster.address("control1")
    options = {"url": f"https://{address}:8444", "client_id": "caspian", "folders": ["Airflow"]}
    output = other_vault(
        "caspian.airflow.beyondtrust",
        {**options, "ca_path": str(good.path / "beyondtrust.pem")},
        {**options, "ca_path": "/srv/fakes/beyondtrust/ca.pem"},
        "beyondtrust",
    )
    assert "node2: updated SHARED-01, WORKER-01" in output
    data = good.data("beyondtrust")
    passwords = {secret["Title"]: secret["Password"] for secret in data["secrets"]}
    assert good.credential("node1", "SHARED-01")["pass"] == passwords["SHARED-01"]
    assert good.credential("node2", "WORKER-01")["pass"] == passwords["OF-THE-WORKER"]
    assert good.credential("node2", "WORKER-01")["host"] == "db3.example.org"
    asked = good.asked("beyondtrust")
    before = good.all_files()
    good.good()
    assert good.all_files() == before
    # Token, sign-in, one listing, sign-out.
    assert good.asked("beyondtrust") - asked == 4
    assert good.status("node1")["vault"] == "caspian.airflow.beyondtrust"


def test_kdbx(good, other_vault):
    output = other_vault(
        "caspian.airflow.kdbx",
        {"path": str(good.path / "vault.kdbx")},
        {"path": "/etc/caspian-refresh/vault.kdbx"},
        "kdbx",
        refresh_schedule_vault_file=str(good.path / "vault.kdbx"),
    )
    assert "node2: updated SHARED-01, WORKER-01" in output
    passwords = json.loads((good.path / "kdbx.json").read_text())
    assert good.credential("node1", "SHARED-01")["pass"] == passwords["SHARED-01"]
    assert good.credential("node2", "WORKER-01")["pass"] == passwords["OF-THE-WORKER"]
    vault = good["control1"].file("/etc/caspian-refresh/vault.kdbx")
    assert (vault.user, vault.group, vault.mode) == ("root", "caspian-refresh", 0o440)
    before = good.all_files()
    good.good()
    assert good.all_files() == before
    assert good.status("node1")["vault"] == "caspian.airflow.kdbx"
