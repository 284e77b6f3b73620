"""The line of cron, run by cron itself."""

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)


@pytest.mark.usefixtures("settled")
def test_cron_publishes_a_push_on_all_nodes(lab):
    followers = {name: lab.follower(name) for name in lab.nodes}
    since = {name: lab.now(name) for name in followers}
    for follower in followers.values():
        line = follower.host.file("/etc/cron.d/airflow-dag-sync").content_string
        assert "* * * * * airflow /usr/local/bin/airflow-dag-sync --splay\n" in line
        follower.host.check_output("systemctl start cron")
    try:
        sha = lab.commit({"dags/pushed.py": "PUSHED = 1\n"})
        for name, follower in followers.items():
            lab.wait(lambda follower=follower: follower.published() == sha, f"{sha} on {name}")
            assert f"published {sha} (main)" in lab.journal(name, since[name])
            # cron says so of output that it would have mailed.
            cron = follower.host.check_output(f"journalctl --unit=cron --since=@{since[name]}")
            assert "airflow-dag-sync --splay" in cron
            assert "output" not in cron
            assert follower.host.run("ls -A /var/mail").stdout == ""
            assert follower.host.run("ls -A /var/spool/mail/").stdout == ""
    finally:
        lab.stop_cron()
