"""What fails leaves the last good files, is told once, and is mended by the next run."""

import json
import re

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

VAULT = "fake@passwordsafe"
NAMES = "/srv/fakes/env"


@pytest.fixture
def vault(good):
    """Let the vault run again, under its own name."""
    names = good["control1"].check_output(f"cat {NAMES}")
    yield good
    good.ssh("control1", f"sh -c 'cat > {NAMES} && systemctl restart {VAULT}'", names)
    # The controller trusts its new authority.
    authority = good["control1"].check_output("cat /srv/fakes/passwordsafe/ca.pem")
    (good.path / "passwordsafe.pem").write_text(authority + "\n")


@pytest.fixture
def data(good):
    """Return what the vault holds, which it holds again in the end."""
    before = good.data()
    yield good.data()
    good.store(before)


def test_vault_that_is_down_changes_nothing_and_alerts_once(vault):
    control1 = vault["control1"]

    def answer(status):
        return lambda: vault.faults({"kind": "status", "status": status})

    outages = {
        "500": answer(500),
        "the user, the password or the domain is wrong": answer(401),
        "cannot be reached|refused": lambda: control1.check_output(f"systemctl stop {VAULT}"),
        "certificate": lambda: control1.check_output(
            f"sed -i 's/^NAMES=.*/NAMES=--name other.example.org/' {NAMES}"
            f" && systemctl start {VAULT}"
        ),
    }
    before, events = vault.all_files(), len(vault.events())
    status = vault.everywhere(vault.status)
    delivered = vault.metrics()['host_last_delivered_timestamp_seconds{host="node1"}']
    for number, (reason, outage) in enumerate(outages.items(), start=1):
        outage()
        assert not vault.refresh(), reason
        assert re.search(reason, vault.journal()), vault.journal()
        assert vault.all_files() == before, reason
        assert vault.everywhere(vault.status) == status
        metrics = vault.metrics()
        assert metrics["vault_up"] == metrics["last_run_success"] == 0
        assert metrics["consecutive_failures"] == number
        assert metrics["alert_open"] == 1
        assert metrics['host_last_delivered_timestamp_seconds{host="node1"}'] == delivered
        ((action, summary),) = vault.events()[events:]
        assert action == "trigger"
        assert "control1" in summary


def test_its_recovery_resolves_the_alert_once(lab):
    # After the test above, whose vault runs again.
    lab.faults()
    events = lab.events()
    lab.good()
    lab.good()
    new = [action for action, _ in lab.events()[len(events) :]]
    assert new == (["resolve"] if events and events[-1][0] == "trigger" else [])
    metrics = lab.metrics()
    assert metrics["last_run_success"] == metrics["vault_up"] == 1
    assert metrics["consecutive_failures"] == metrics["alert_open"] == 0
    lab.delivered()


def test_one_bad_record_keeps_its_last_good_file(good, data):
    """One that is missing; what else is bad of a record is shown without nodes."""
    reason = "no credential's description begins with this name"
    last = good.credential("node2", "WORKER-01")
    (record,) = (c for c in data["credentials"] if c["description"].startswith("OF-THE-WORKER"))
    data["credentials"].remove(record)
    good.store(data)
    good.rotate("SHARED-01")
    events = len(good.events())
    assert not good.refresh()
    said = good.journal()
    assert re.search(f"WORKER-01: .*{reason}", said), said
    assert good.credential("node2", "WORKER-01") == last
    for name in good.nodes:
        assert good.credential(name, "SHARED-01")["pass"] == good.password("SHARED-01"), name
    sources = good.status("node2")["sources"]
    assert (sources["WORKER-01"]["state"], sources["SHARED-01"]["state"]) == ("kept", "current")
    assert re.search(reason, sources["WORKER-01"]["error"])
    assert sources["WORKER-01"]["last_good_at"] < sources["SHARED-01"]["last_good_at"]
    metrics = good.metrics()
    assert metrics['sources{host="node2",state="kept"}'] == metrics["unfetched_sources"] == 1
    assert metrics['sources{host="node1",state="kept"}'] == 0
    assert metrics["vault_up"] == 1
    ((action, summary),) = good.events()[events:]
    assert action == "trigger"
    assert "WORKER-01" in summary


def test_node_that_cannot_be_reached_is_named_and_the_others_are_served(good):
    node2 = good["node2"]
    keys = "/var/lib/caspian-refresh/.ssh/authorized_keys"
    good.rotate("SHARED-01")
    node2.check_output(f"mv {keys} {keys}.away")
    good["control1"].run("pkill -u caspian-refresh ssh")
    try:
        assert not good.refresh()
    finally:
        node2.check_output(f"mv {keys}.away {keys}")
    metrics = good.metrics()
    assert metrics['host_delivered{host="node2"}'] == 0
    assert metrics['host_delivered{host="node1"}'] == 1
    assert good.credential("node1", "SHARED-01")["pass"] == good.password("SHARED-01")
    assert "1 host unreachable: node2" in good.events()[-1][1]
    good.good()
    good.delivered()
    assert good.events()[-1][0] == "resolve"


def test_killed_while_the_vault_is_slow(good):
    before, events, asked = good.all_files(), len(good.events()), good.asked()
    good.faults({"kind": "slow", "seconds": 30, "match": "^/projects"})
    control1 = good["control1"]
    control1.check_output("systemctl start --no-block caspian-refresh")
    good.wait(lambda: good.asked() > asked, "a token")
    control1.check_output("systemctl kill --signal=KILL caspian-refresh")
    assert good.ended() == "failed"
    assert good.all_files() == before
    ((action, summary),) = good.events()[events:]
    assert action == "trigger"
    assert "killed" in summary
    assert good.metrics()["last_run_success"] == 0
    good.faults()
    good.good()
    assert good.all_files() == before
    assert good.events()[-1][0] == "resolve"


@pytest.mark.parametrize("killed", ["the refresh", "the module"])
def test_killed_while_it_delivers(good, killed):
    old = good.credentials("node1")
    good.rotate("SHARED-01", "SCHEDULER-01")
    control1, node1 = good["control1"], good["node1"]
    with good.held("node1") as waiting:
        control1.check_output("systemctl start --no-block caspian-refresh")
        process = waiting()
        if killed == "the module":
            node1.check_output(f"kill -KILL {process}")
        else:
            control1.check_output("systemctl kill --signal=KILL caspian-refresh")
        assert good.ended() == "failed"
    new = good.credentials("node1")
    assert new.keys() == old.keys()
    changed = {name for name, value in new.items() if value != old[name]}
    assert changed in (set(), {"SHARED-01", "SCHEDULER-01"})
    for name in changed:
        assert new[name] == {**old[name], "pass": good.password(name)}
    assert good.events()[-1][0] == "trigger"
    good.good()
    good.delivered()
    # Nothing is left of it.
    left = node1.check_output("ls -A /etc/airflow /etc/airflow/.credentials").split()
    assert [name for name in left if name.endswith(".tmp")] == []
    assert len([name for name in left if re.fullmatch("[0-9a-f]{16}", name)]) == 1
    assert good.events()[-1][0] == "resolve"


def test_run_that_takes_too_long_is_ended_and_counts_as_failed(good):
    control1, drop_in = good["control1"], "/run/systemd/system/caspian-refresh.service.d"
    before, events = good.all_files(), len(good.events())
    good.faults({"kind": "hang"})
    control1.check_output(
        f"mkdir -p {drop_in} && printf '[Service]\\nTimeoutStartSec=3\\n' > {drop_in}/short.conf"
        " && systemctl daemon-reload"
    )
    try:
        assert not good.refresh()
    finally:
        control1.check_output(f"rm {drop_in}/short.conf && systemctl daemon-reload")
    ((action, summary),) = good.events()[events:]
    assert action == "trigger"
    assert "it took too long" in summary
    assert good.all_files() == before
    good.faults()
    good.good()


def test_report_and_state_of_a_run_are_the_account_s_own(lab):
    home = "/var/lib/caspian-refresh"
    found = lab["control1"].check_output(f"stat --format='%n %U %a' {home}/*.json {home}-metrics/*")
    # The watch writes its own every few minutes, and takes its report away in between.
    of_the_watch = {
        "/var/lib/caspian-refresh/health.json caspian-refresh 600",
        "/var/lib/caspian-refresh/watch.json caspian-refresh 600",
    }
    assert set(found.splitlines()) - of_the_watch == {
        "/var/lib/caspian-refresh/alerts.json caspian-refresh 600",
        "/var/lib/caspian-refresh/credentials.status.json caspian-refresh 400",
        "/var/lib/caspian-refresh/report.json caspian-refresh 600",
        "/var/lib/caspian-refresh-metrics/caspian_credentials.prom caspian-refresh 644",
    }
    report = json.loads(lab["control1"].file("/var/lib/caspian-refresh/report.json").content)
    assert {name: host["state"] for name, host in report["hosts"].items()} == dict.fromkeys(
        lab.places, "delivered"
    )
