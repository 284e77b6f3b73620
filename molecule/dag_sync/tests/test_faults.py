"""What may befall a node: other readers, a full disk, a clock that jumps, large trees."""

import subprocess

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)


def test_textfile_metrics(lab, settled, web_server):
    follower = lab.follower("worker1")
    assert follower.tick() == 0
    good, file = follower.metrics(), follower.settings["metrics_file"]
    assert good["last_exit_code"] == good["blocked"] == good["pinned"] == "0"
    assert good[f'info{{published="{settled}",seen="{settled}",ref="main"}}'] == "1"
    assert follower.host.check_output(f"stat --format='%U %a' {file}") == "airflow 644"
    # node_exporter has an account of its own.
    follower.host.check_output(f"setpriv --reuid nobody --clear-groups cat {file}")
    inode = follower.host.check_output(f"stat --format=%i {file}")
    web_server.check_output("systemctl stop lighttpd")
    assert follower.tick() == 3
    bad = follower.metrics()
    assert bad["last_exit_code"] == "3"
    assert int(bad["failures_total"]) == int(good["failures_total"]) + 1
    assert bad["last_success_timestamp_seconds"] == good["last_success_timestamp_seconds"]
    # A new file takes the place of the old one.
    assert follower.host.check_output(f"stat --format=%i {file}") != inode


def test_readers_other_uid(trial, name):
    """A process of the group reads all of a release, also when a careful person has synced."""
    follower = trial(name)
    follower.run(before="umask 077;").ended(0)
    read = (
        f"setpriv --reuid nobody --regid airflow --clear-groups find -L {follower.link} ! -readable"
    )
    assert follower.host.check_output(read) == ""
    assert follower.host.check_output(f"find {follower.link}/ -perm /007 ! -type l") == ""


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


def test_repository_of_20000_files(lab, trial):
    lab.repository("many")
    lab.author(
        "cd many\n"
        "for i in $(seq 200); do mkdir -p configs/$i\n"
        "for j in $(seq 100); do echo $i$j >configs/$i/$j.txt; done; done"
    )
    lab.commit({"dags/a.py": "A = 1\n"}, clone="many")
    follower = trial("worker1")
    url = follower.settings["repository"].replace("dags.git", "many.git")
    follower.change(repository=url)
    follower.run().ended(0)
    count = f"find {follower.link}/ -type f | wc -l"
    assert follower.host.check_output(count) == "20001"
    second = lab.commit({"configs/200/100.txt": "changed\n"}, clone="many")
    follower.run().ended(0)
    assert follower.published() == second
    assert follower.host.check_output(count) == "20001"
    assert follower.host.check_output(f"cat {follower.link}/configs/200/100.txt") == "changed"


def test_overlap(lab, trial):
    """A second run says that it is busy, and does not fail; a killed run frees the lock."""
    follower = trial("scheduler1")
    begun, go = follower.link + "-begun", follower.link + "-go"
    wait = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.1; done"
    follower.change(gate_command=["/bin/sh", "-c", wait])

    def start():
        follower.host.check_output(f"rm -f {begun}")
        process = subprocess.Popen(
            ["ssh", "-F", lab.path / "ssh_config", follower.name, f"sudo {follower.command()}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        lab.wait(lambda: follower.host.file(begun).exists, "a check that has begun")
        return process

    with start() as killed:
        assert follower.run().ended(0) == "busy: another run is at work\n"
        follower.host.check_output(
            "pkill -KILL -u airflow -f -- '^/usr/bin/python3 -IS .*settings'"
        )
        killed.communicate()
    assert killed.returncode
    with start() as process:
        assert "busy: " in follower.run().ended(0)
        follower.host.check_output(f"touch {go}")
        output, _ = process.communicate()
    assert process.returncode == 0
    assert "published " in output


def test_repository_replaced_by_an_unrelated_one(lab, trial, name):
    lab.repository("other")
    lab.commit({"dags/old.py": "A = 1\n"}, clone="other")
    follower = trial(name)
    url = follower.settings["repository"].replace("dags.git", "other.git")
    follower.change(repository=url)
    follower.run().ended(0)
    assert follower.has("dags/old.py")
    lab.repository("other")
    sha = lab.commit({"dags/new.py": "A = 2\n"}, clone="other")
    assert f"published {sha}" in follower.run().ended(0)
    assert follower.has("dags/new.py")
    assert not follower.has("dags/old.py")


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v*"])
def test_tags(lab, trial, name, ref):
    """A tag, and the newest of some, in the order of versions."""
    lab.repository("tags")
    expected = {}
    for tag in ("v1", "v1.9", "v1.10", "other"):
        expected[tag] = lab.commit({"dags/a.py": f"A = {tag!r}\n"}, clone="tags")
        lab.author(
            f"cd tags && git tag --annotate --message {tag} {tag} && git push -q origin {tag}"
        )
    follower = trial(name, ref=ref, depth=1)
    url = follower.settings["repository"].replace("dags.git", "tags.git")
    follower.change(repository=url)
    follower.run().ended(0)
    assert follower.published() == expected["v1" if ref == "v1" else "v1.10"]
