"""What is not published: what does not compile, does not parse, or fails a check."""

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("path", "content"), [("dags/broken.py", "def :\n"), ("configs/broken.yaml", "a: [\n")]
)
def test_gate_fail_blocks(lab, settled, name, path, content):
    follower = lab.follower(name)
    since = lab.now(follower.name)
    broken = lab.commit({path: content})
    try:
        assert follower.tick() == 4
        assert follower.published() == settled
        blocked = follower.status()["blocked"]
        assert blocked["sha"] == broken
        assert path in blocked["reason"]
        found = follower.metrics()
        assert found["blocked"] == "1"
        assert found["last_exit_code"] == "4"
        assert path in follower.run().ended(4)
        assert follower.published() == settled
        assert follower.tick() == 4
        assert lab.journal(follower.name, since).count(f"blocked {broken}: ") == 1
    finally:
        fixed = lab.commit({path: None})
    assert follower.tick() == 0
    assert follower.published() == fixed
    assert follower.status()["blocked"] is None
    assert follower.metrics()["blocked"] == "0"
    assert "works again" in lab.journal(follower.name, since)


def test_a_commit_is_not_checked_again_by_cron(lab, trial):
    follower = trial("scheduler1")
    runs = follower.link + "-runs"
    check = f'printf "%s\\n" "$RAX_RELEASE_DIR" >>{runs}; test ! -e dags/unwanted.py'
    follower.change(gate_command=["/bin/sh", "-c", check])
    follower.run().ended(0)
    unwanted = lab.commit({"dags/unwanted.py": "A = 1\n"})

    def checked():
        return follower.host.check_output(f"cat {runs}").count(unwanted)

    try:
        assert [follower.tick() for _ in range(3)] == [4, 4, 4]
        assert checked() == 1
        follower.run().ended(4)
        assert checked() == 2
    finally:
        wanted = lab.commit({"dags/unwanted.py": None})
    assert follower.tick() == 0
    assert follower.published() == wanted


def test_gate_timeout(trial):
    follower = trial("worker1", gate_command=["/bin/sh", "-c", "sleep 600"], gate_timeout_seconds=2)
    follower.run().ended(4)
    assert follower.status()["published"] is None
    assert follower.host.run("ps -u airflow -o args=").stdout == ""
