"""The refresh that control1 runs."""

import re

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

TIMER = "caspian-refresh.timer"
DROP_IN = f"/run/systemd/system/{TIMER}.d/now.conf"


def test_timer_starts_it(good):
    control1 = good["control1"]
    assert control1.check_output(f"systemctl is-enabled {TIMER}") == "enabled"
    assert control1.check_output(f"systemctl is-active {TIMER}") == "active"
    before = good.metrics()["last_success_timestamp_seconds"]
    good.rotate("SHARED-01")
    control1.check_output(
        f"mkdir -p $(dirname {DROP_IN})"
        f" && printf '[Timer]\\nOnActiveSec=1ms\\nAccuracySec=1ms\\n' > {DROP_IN}"
        f" && systemctl daemon-reload && systemctl restart {TIMER}"
    )
    try:
        good.wait(
            lambda: good.metrics()["last_success_timestamp_seconds"] > before, "a run of the timer"
        )
    finally:
        control1.check_output(
            f"rm {DROP_IN} && systemctl daemon-reload && systemctl restart {TIMER}"
        )
    good.delivered()


def test_rotated_passwords_are_on_all_machines(good):
    node2 = good["node2"]
    since = node2.check_output("date '+%Y-%m-%d %H:%M:%S'")
    good.rotate("SHARED-01", "WORKER-01")
    said = good.good()
    good.delivered()
    # The hosts come in the order in which they were done.
    assert sorted(re.findall("^.*updated.*$", said, re.MULTILINE)) == [
        "node1: updated SHARED-01; notified reader.service",
        "node2: updated SHARED-01, WORKER-01; notified reader.service",
    ]
    # By name in the node's journal too, with who did it.
    logged = node2.check_output(
        f"journalctl --identifier=caspian-credentials --output=cat --no-pager --since='{since}'"
    )
    who = 'by="caspian-refresh@control1" vault="caspian.airflow.passwordsafe"'
    digits = "[0-9a-f]{16}"
    assert re.search(f"{who} updated=SHARED-01:{digits},WORKER-01:{digits}$", logged), logged


def test_nothing_new_changes_nothing(good):
    before = good.all_files()
    told = good["node1"].check_output("cat /run/reader || true")
    asked = good.asked()
    said = good.good()
    assert good.all_files() == before
    assert not re.search("updated|added|repaired|removed", said)
    assert good["node1"].check_output("cat /run/reader || true") == told
    # One token, one listing of the projects, two pages of four records, and the ends of both.
    assert good.asked() - asked == 1 + 2 + 3


def test_what_has_drifted_is_repaired(good):
    node1, place = good["node1"], good.places["node1"]
    before = good.credential("node1", "SHARED-01"), good.credential("node1", "SCHEDULER-01")
    node1.check_output(
        f"chmod 0666 {place}/SHARED-01.json && chown airflow {place}/SHARED-01.json"
        f" && echo edited > {place}/SCHEDULER-01.json && chmod 0777 {place}/"
        f" && echo theirs > {place}/notes.txt"
    )
    good["node2"].check_output(f"rm {place}/WORKER-01.json")
    said = good.good()
    assert "node1: updated SCHEDULER-01; repaired SHARED-01" in said
    assert "node2: added WORKER-01" in said
    found = good.credential("node1", "SHARED-01"), good.credential("node1", "SCHEDULER-01")
    assert found == before
    listed = node1.check_output(f"stat --format='%n %U:%G %a' {place}/ {place}/*")
    assert listed.splitlines()[:3] == [
        f"{place}/ root:airflow 750",
        f"{place}/SCHEDULER-01.json root:airflow 440",
        f"{place}/SHARED-01.json root:airflow 440",
    ]
    # What is not ours stays.
    assert node1.check_output(f"cat {place}/notes.txt") == "theirs"
    node1.check_output(f"rm {place}/notes.txt")
    good.delivered()


def test_units_are_told_once_of_a_new_set_and_see_it(good):
    node1 = good["node1"]
    node1.check_output("rm -f /run/reader")
    good.rotate("SHARED-01", "SCHEDULER-01")
    said = good.good()
    assert "notified reader.service" in said
    told = node1.check_output("cat /run/reader").splitlines()
    assert told == [node1.check_output("readlink /etc/airflow/credentials")]


def test_unit_that_cannot_follow_fails_the_run_and_is_told_again(good):
    node1 = good["node1"]
    good.rotate("SHARED-01")
    node1.check_output("touch /run/reader.fails")
    try:
        assert not good.refresh()
        assert "reader.service" in good.journal()
        # Published all the same.
        good.delivered()
    finally:
        node1.check_output("rm /run/reader.fails /run/reader")
    good.good()
    assert len(node1.check_output("cat /run/reader").splitlines()) == 1
