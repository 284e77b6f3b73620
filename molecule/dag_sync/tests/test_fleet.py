"""playbooks/sync_dags.yml: all nodes at once, workers first, and a report."""

import re

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

AWAY = """
all:
  children:
    airflow:
      children:
        worker:
          hosts:
            worker9:
              ansible_host: 127.0.0.1
              ansible_port: 1
              ansible_ssh_common_args: ""
"""
ROLLBACK = ("--extra-vars", "dag_sync_action=rollback")
UNPIN = ("--extra-vars", "dag_sync_action=unpin")


def published(lab):
    """Return what each node has published, and whether it is pinned."""
    return {
        name: (follower.published(), bool(follower.status()["pinned"]))
        for name in lab.nodes
        for follower in [lab.follower(name)]
    }


def everywhere(sha, *, pinned=False):
    return dict.fromkeys(("scheduler1", "worker1"), (sha, pinned))


def lines(ran):
    """Return the lines of the report by host."""
    return dict(re.findall(r"^ +(\w+\d): (.+)$", ran.output, re.MULTILINE))


@pytest.fixture
def fleet(lab, settled):  # noqa: ARG001 - it comes first
    """Begin with nodes that follow the newest: what a test leaves is the next one's matter."""
    return lab.fleet


def test_sync_dags(lab, fleet):
    sha = lab.commit()
    ran = fleet()
    ran.ended(0)
    assert published(lab) == everywhere(sha)
    report = lines(ran)
    assert report.keys() == set(lab.nodes)
    for line in report.values():
        assert f"published {sha} since 20" in line
        assert "pinned" not in line
    # Workers first.
    places = [ran.output.index(f"DAGs on the {group}]") for group in ("workers", "schedulers")]
    assert places == sorted(places)


def test_check_mode_only_reports(lab, fleet, settled):
    lab.commit()
    for action in ((), ROLLBACK, UNPIN):
        ran = fleet("--check", *action)
        ran.ended(0)
        assert "nothing was done, in check mode" in ran.output
        assert not re.search(r"changed=[1-9]", ran.output)
        assert lines(ran).keys() == set(lab.nodes)
    assert published(lab) == everywhere(settled)


def test_blocked_commit_is_reported_and_fails(lab, fleet, settled):
    broken = lab.commit({"dags/broken.py": "def :\n"})
    try:
        ran = fleet()
        assert ran.code != 0
        for line in lines(ran).values():
            assert f"published {settled}" in line
            assert f"blocked {broken}" in line
            assert "dags/broken.py" in line
    finally:
        lab.commit({"dags/broken.py": None})


def test_rollback_of_fleet(lab, fleet, settled):
    lab.commit()
    fleet().ended(0)
    report = lines(back := fleet(*ROLLBACK))
    back.ended(0)
    assert published(lab) == everywhere(settled, pinned=True)
    assert all("pinned" in line for line in report.values())
    # It stays, whatever is pushed.
    newest = lab.commit()
    assert [lab.follower(name).tick() for name in lab.nodes] == [0, 0]
    fleet().ended(0)
    assert published(lab) == everywhere(settled, pinned=True)
    assert "name the release" in fleet(*ROLLBACK).ended(2)
    fleet(*UNPIN).ended(0)
    assert published(lab) == everywhere(newest)


def test_rollback_to_a_release_that_a_node_lacks(lab, fleet, settled):
    lab.commit()
    fleet().ended(0)
    worker = lab.follower("worker1")
    worker.host.check_output(f"rm -r {worker.root}/releases/{settled}")
    ran = fleet(*ROLLBACK, "--extra-vars", f"dag_sync_release={settled}")
    ran.ended(0)
    assert published(lab) == everywhere(settled, pinned=True)
    assert worker.has("dags/ebi/flights_daily.py")


def test_rollback_to_a_release_that_there_is_not(lab, fleet, settled):
    ran = fleet(*ROLLBACK, "--extra-vars", f"dag_sync_release={'0' * 40}")
    assert "No node was rolled back" in ran.ended(2)
    for name in lab.nodes:
        assert re.search(
            rf"^ +{name}: failed: .+ has no commit {'0' * 40}", ran.output, re.MULTILINE
        )
    assert published(lab) == everywhere(settled)


def test_rollback_without_a_previous_release_in_common(lab, fleet, settled):
    second = lab.commit()
    lab.follower("scheduler1").run().ended(0)
    newest = lab.commit()
    fleet().ended(0)
    ran = fleet(*ROLLBACK)
    ran.ended(2)
    assert f"scheduler1: previous {second}, published {newest}" in ran.output
    assert f"worker1: previous {settled}, published {newest}" in ran.output
    assert published(lab) == everywhere(newest)


def test_node_that_is_unreachable_is_named(lab, fleet, settled, tmp_path):
    away = tmp_path / "away.yml"
    away.write_text(AWAY)
    with_it = ("-i", away, "-i", lab.inventory)
    newest = lab.commit()
    ran = fleet(*with_it)
    assert ran.code != 0
    assert lines(ran)["worker9"] == "unreachable"
    assert f"published {newest}" in lines(ran)["worker1"]
    assert published(lab) == everywhere(newest)
    ran = fleet(*with_it, *ROLLBACK)
    assert ran.code != 0
    assert re.search(r"do not answer.+\n.*worker9: unreachable", ran.output)
    assert published(lab) == everywhere(newest)
    fleet(*with_it, "--limit", "!worker9", *ROLLBACK).ended(0)
    assert published(lab) == everywhere(settled, pinned=True)


@pytest.mark.parametrize(
    "arguments",
    [
        "dag_sync_action=destroy",
        "dag_sync_release=0123456",
        "dag_sync_action=rollback dag_sync_release=main",
    ],
)
def test_wrong_arguments(lab, arguments):
    assert "dag_sync_" in lab.fleet("--extra-vars", arguments).ended(2)
