"""What only a node has: journal and metrics, other accounts, a full disk, a clock that jumps.

What a server, a repository or a commit may be is shown by the program's own tests, some of which
run here too: test_program.py.
"""

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)


def test_remote_down(lab, settled, web_server):
    """The age grows, the journal has the error once and its end, and the release stays."""
    follower = lab.follower("worker1")
    assert follower.tick() == 0
    good = follower.metrics()
    since = lab.now("worker1")
    web_server.check_output("systemctl stop lighttpd")
    assert follower.tick() == 3
    first = follower.status()
    lab.now("worker1")
    assert follower.tick() == 3
    second, bad = follower.status(), follower.metrics()
    assert second["age_seconds"] > first["age_seconds"]
    assert second["failures"] == first["failures"] + 1
    assert second["error"]
    assert second["error_since"] == first["error_since"]
    assert bad["last_exit_code"] == "3"
    assert int(bad["failures_total"]) == int(good["failures_total"]) + 2
    assert follower.published() == settled
    assert follower.has("dags")
    assert lab.journal("worker1", since).count("failed: ") == 1
    web_server.check_output("systemctl start lighttpd")
    assert follower.tick() == 0
    assert "works again, after failing since" in lab.journal("worker1", since)
    assert follower.status()["error"] is None


def test_gate_fail_blocks(lab, settled):
    """The node's own interpreters refuse a program and a config; cron says so once."""
    follower = lab.follower("worker1")
    since = lab.now("worker1")
    files = {"dags/broken.py": "def :\n", "configs/broken.yaml": "a: [\n"}
    broken = lab.commit(files)
    try:
        assert follower.tick() == 4
        assert follower.published() == settled
        blocked = follower.status()["blocked"]
        assert blocked["sha"] == broken
        found = follower.metrics()
        assert found["blocked"] == "1"
        assert found["last_exit_code"] == "4"
        said = follower.run().ended(4)
        assert follower.published() == settled
        for path in files:
            assert path in blocked["reason"]
            assert path in said
        assert follower.tick() == 4
        assert lab.journal("worker1", since).count(f"blocked {broken}: ") == 1
    finally:
        fixed = lab.commit(dict.fromkeys(files))
    assert follower.tick() == 0
    assert follower.published() == fixed
    assert follower.status()["blocked"] is None
    assert follower.metrics()["blocked"] == "0"
    assert "works again" in lab.journal("worker1", since)


def test_readers_other_uid(lab, trial):
    """A process of the group reads all of a release, also when a careful person has synced."""
    follower = trial("worker1")
    follower.run(before="umask 077;").ended(0)
    read = (
        f"setpriv --reuid nobody --regid airflow --clear-groups find -L {follower.link} ! -readable"
    )
    assert follower.host.check_output(read) == ""
    assert follower.host.check_output(f"find {follower.link}/ -perm /007 ! -type l") == ""
    # node_exporter has an account of its own.
    file = lab.follower("worker1").settings["metrics_file"]
    assert follower.host.check_output(f"stat --format='%U %a' {file}") == "airflow 644"
    follower.host.check_output(f"setpriv --reuid nobody --clear-groups cat {file}")


def test_disk_full(lab, trial):
    """The last good release is intact, nothing partial stays, and room is all that is needed."""
    lab.repository("big")
    first = lab.commit({"dags/a.py": "A = 1\n"}, clone="big")
    follower = trial("scheduler1")
    url = follower.settings["repository"].replace("dags.git", "big.git")
    folder = follower.link.rpartition("/")[0]
    follower.host.check_output(
        f"mount -t tmpfs -o size=4m,uid=$(id -u airflow),gid=$(id -g airflow),mode=750"
        f" tmpfs {folder}"
    )
    follower.change(repository=url)
    follower.run().ended(0)
    lab.author("head -c 8000000 /dev/urandom >big/big.bin")
    second = lab.commit({"dags/a.py": "A = 2\n"}, clone="big")
    failed = follower.run()
    assert failed.code in (1, 3), failed.output
    assert "Traceback" not in failed.output
    assert follower.published() == first
    assert follower.host.check_output(f"cat {follower.link}/dags/a.py") == "A = 1"
    assert follower.host.check_output(f"find {folder} -name '*.tmp' -o -name 'tmp_pack*'") == ""
    follower.host.check_output(f"mount -o remount,size=64m {folder}")
    follower.run().ended(0)
    assert follower.published() == second


def test_clock_jumps(lab, trial):
    follower = trial("worker1", keep_releases=2)
    published = []
    for jump in ("", "faketime -f +400d", "", "faketime -f -400d", ""):
        sha = lab.commit()
        assert f"published {sha}" in follower.run(before=jump).ended(0), jump
        assert follower.has("dags"), jump
        assert follower.status()["age_seconds"] >= 0
        published.append(sha)
    # None was published last longer than a week ago, but for what the jumps made of it.
    releases = follower.status()["releases"]
    assert set(published[-2:]) <= set(releases) <= set(published)
