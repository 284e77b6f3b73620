"""A run stays on its release, on both workers, whatever is pushed, removed or rolled back."""

import json
import secrets
import time

import pytest

RELEASES = "/home/airflow/.airflow-git-dir/releases"
SIGNALS = "/home/airflow/signals"  # A component has a /tmp of its own.
LINK = "https://git.example.org/dags/commit/"
DAGS = ("release_probe", "release_crowd", "release_parked")
SOURCE = f'''"""Tasks that tell which release they were made of."""
import os
import time
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
from rax.config import get_config

from lib.release_probe import LIB
from util.release_probe import UTIL


def tell():
    release = Path(os.environ["RAX_RELEASE_DIR"]).name
    config = get_config("release_probe").text
    return {{"dag": "LABEL", "lib": LIB, "util": UTIL, "config": config, "release": release}}


with DAG("release_probe", schedule=None, description="LABEL", is_paused_upon_creation=False):

    @task(queue="worker1")
    def a(run_id=None):
        deadline = time.monotonic() + 300
        while not Path("{SIGNALS}", run_id).exists():
            if time.monotonic() > deadline:
                raise TimeoutError("nobody gave the signal")
            time.sleep(0.2)
        return tell()

    @task(queue="worker2")
    def b():
        return tell()

    a() >> b()

with DAG("release_crowd", schedule=None, description="LABEL"):
    for worker in ("worker1", "worker2"):
        for name in ("c", "d"):
            task(task_id=f"{{name}}_{{worker}}", queue=worker)(tell)()

with DAG("release_parked", schedule=None, description="LABEL"):
    EmptyOperator(task_id="never")
'''
FILES = {
    "dags/release_probe.py": SOURCE,
    "lib/release_probe.py": 'LIB = "LABEL"\n',
    "util/release_probe.py": 'UTIL = "LABEL"\n',
    "configs/release_probe.yaml": "text: LABEL\n",
}


class Probe:
    """The releases that were pushed, and the runs on them."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.session = secrets.token_hex(3)
        self.labels = {}

    # Releases

    def push(self):
        """Push a commit in which each file says another label, and return its sha."""
        label = f"{self.session}-{len(self.labels)}"
        files = {path: content.replace("LABEL", label) for path, content in FILES.items()}
        sha = self.cluster.push(files, f"Release {label}")
        self.labels[sha] = label
        return sha

    def wait_until_parsed(self, sha, seconds=60):
        """Wait until new runs are of the release, and the DAG processor has moved on to it."""
        self.cluster.wait_until_parsed(sha, *DAGS, seconds=seconds)

    def remove(self, name, sha):
        """Remove a release from a node as pruning does: locked, then renamed."""
        release, aside = f"{RELEASES}/{sha}", f"{RELEASES}/.{secrets.token_hex(8)}.tmp"
        self.cluster.node(name).check_output(
            f"flock --exclusive --wait 20 {release} mv {release} {aside} && rm -r {aside}"
        )

    def has(self, name, sha):
        """Tell whether a node has a release."""
        return self.cluster.node(name).file(f"{RELEASES}/{sha}").is_directory

    def is_free(self, name, sha):
        """Tell whether pruning could remove a release from a node."""
        return (
            not self.cluster.node(name)
            .run(f"flock --exclusive --nonblock {RELEASES}/{sha} true")
            .rc
        )

    # Runs

    def begin(self, name, dag="release_probe"):
        """Trigger a run and return its path in the API."""
        return self.cluster.begin(dag, f"{name}-{self.session}")

    def pause(self, dag, paused):
        """Pause a DAG: the runs that are triggered then are queued until it is unpaused."""
        self.cluster.api.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": paused})

    def signal(self, run):
        """Let task a of a run go on."""
        self.cluster.node("worker1").check_output(f"touch {SIGNALS}/{run.rpartition('/')[2]}")

    def told(self, run):
        """Return what each task of a run told of its release, when all succeeded."""
        tasks = self.cluster.tasks(run)
        assert set(tasks.values()) == {"success"}, {
            task: self.cluster.log(run, task) for task in tasks
        }
        return {task: self.cluster.returned(run, task) for task in tasks}

    def expected(self, sha, *tasks):
        """Return what tasks tell that are of this release in every respect."""
        label = self.labels[sha]
        what = {"dag": label, "lib": label, "util": label, "config": label, "release": sha}
        return dict.fromkeys(tasks, what)


@pytest.fixture(scope="module")
def probe(cluster):
    probe = Probe(cluster)
    cluster.node("worker1").check_output(f"install -d -o airflow {SIGNALS}")
    yield probe
    cluster.node("worker1").check_output(f"rm -r {SIGNALS}")


@pytest.fixture(scope="module")
def visible(probe):
    """Push a release and leave all to cron; return it, its first run and the seconds it took."""
    sha = probe.push()
    began = time.monotonic()
    probe.wait_until_parsed(sha, seconds=180)
    run = probe.begin("visible")
    probe.signal(run)
    probe.cluster.end(run)
    seconds = time.monotonic() - began
    probe.cluster.sync(sha)
    return sha, run, seconds


@pytest.fixture(scope="module")
def runs(probe, visible):
    """Begin runs on a release, and publish another one meanwhile."""
    old = visible[0]
    for dag in ("release_crowd", "release_parked"):
        probe.pause(dag, True)
    runs = {name: probe.begin(name) for name in ("stays", "lacks", "lost")}
    waiting = list(runs.values())
    runs["crowd"] = probe.begin("crowd", "release_crowd")
    runs["parked"] = probe.begin("parked", "release_parked")
    probe.cluster.wait(
        lambda: all(probe.cluster.tasks(run).get("a") == "running" for run in waiting),
        60,
        "the runs have begun",
    )
    new = probe.push()
    probe.cluster.sync(new)
    probe.wait_until_parsed(new)
    yield runs | {"old": old, "new": new}
    for run in waiting:
        probe.signal(run)


@pytest.mark.timeout(400)
def test_push_to_visible(probe, visible, capsys):
    sha, run, seconds = visible
    with capsys.disabled():
        print(f"\npush to visible: {seconds:.0f} s to the end of a run")  # noqa: T201 - for people
    assert probe.told(run) == probe.expected(sha, "a", "b")


@pytest.mark.timeout(400)
def test_run_stays_on_release(probe, runs):
    """A push between task a and task b of a run changes nothing for b, and all for the next run."""
    assert probe.cluster.tasks(runs["stays"]) == {"a": "running", "b": None}
    assert [probe.cluster.published(name) for name in probe.cluster.nodes] == [runs["new"]] * 3
    following = probe.begin("follows")
    probe.signal(following)
    probe.signal(runs["stays"])
    for run, sha in ((runs["stays"], runs["old"]), (following, runs["new"])):
        found = probe.cluster.end(run)
        assert probe.told(run) == probe.expected(sha, "a", "b")
        assert found["bundle_version"] == sha
        links = probe.cluster.api.call("GET", f"{run}/taskInstances/b/links")
        assert links["extra_links"] == {"Release": LINK + sha}
        # Airflow would make this one of the newest release with the same structure.
        assert {version["bundle_url"] for version in found["dag_versions"]} == {None}


@pytest.mark.timeout(400)
def test_worker_lacks_release(probe, runs):
    """The next task of a pinned run fetches it; what the node publishes stays published."""
    old, new = runs["old"], runs["new"]
    probe.remove("worker2", old)
    probe.signal(runs["lacks"])
    probe.cluster.end(runs["lacks"])
    assert probe.told(runs["lacks"]) == probe.expected(old, "a", "b")
    assert f"fetched {old}" in probe.cluster.log(runs["lacks"], "b")
    assert probe.has("worker2", old)
    assert probe.cluster.published("worker2") == new


@pytest.mark.timeout(400)
def test_worker_lacks_release_and_its_commit_and_the_server(probe, runs):
    """The task fails, and its log says which release is not on which host, and why."""
    old, worker2 = runs["old"], probe.cluster.node("worker2")
    worker2.check_output("cp /etc/hosts /etc/hosts.before")
    # First: cron would bring back what is removed.
    worker2.check_output("echo 255.255.255.255 control1 >> /etc/hosts")
    try:
        probe.remove("worker2", old)
        worker2.check_output("rm -r /home/airflow/.airflow-git-dir/repository.git")
        probe.signal(runs["lost"])
        assert probe.cluster.end(runs["lost"])["state"] == "failed"
    finally:
        # Not renamed: it is mounted.
        worker2.check_output("cat /etc/hosts.before > /etc/hosts && rm /etc/hosts.before")
    assert probe.cluster.tasks(runs["lost"]) == {"a": "success", "b": "failed"}
    log = probe.cluster.log(runs["lost"], "b")
    assert f"release {old} of bundle dags is not on worker2, and fetching it failed" in log
    assert "airflow-dag-sync exited with 3" in log


@pytest.mark.timeout(400)
def test_two_workers_one_release(probe, runs):
    """Two tasks at once on each of two workers that lack it: it is fetched once on each."""
    old = runs["old"]
    for worker in ("worker1", "worker2"):
        if probe.has(worker, old):
            probe.remove(worker, old)
    probe.pause("release_crowd", False)
    probe.cluster.end(runs["crowd"])
    tasks = [f"{name}_{worker}" for worker in ("worker1", "worker2") for name in ("c", "d")]
    assert probe.told(runs["crowd"]) == probe.expected(old, *tasks)
    logs = {task: probe.cluster.log(runs["crowd"], task) for task in tasks}
    for worker in ("worker1", "worker2"):
        fetched = [task for task in tasks if worker in task and f"fetched {old}" in logs[task]]
        assert len(fetched) == 1, logs


@pytest.mark.timeout(400)
def test_pinned_release_is_kept_on_scheduler(probe, runs):
    """Pruning as strict as can be leaves the release of a run that has not even begun."""
    scheduler1, old = probe.cluster.node("scheduler1"), runs["old"]
    assert probe.cluster.api.call("GET", runs["parked"])["state"] == "queued"
    settings = json.loads(scheduler1.file("/etc/airflow/dag_sync.json").content_string)
    strict = settings | {"keep_releases": 1, "keep_days": 0}
    probe.cluster.send("scheduler1", "/etc/airflow/dag_sync_strict.json", json.dumps(strict))
    sha, said = None, ""
    while not sha or f"published {sha}" not in said:  # Cron may be faster, and prunes less.
        sha = probe.push()
        said = scheduler1.check_output(
            "airflow-dag-sync --settings /etc/airflow/dag_sync_strict.json"
        )
        probe.cluster.sync(sha)
    scheduler1.check_output("rm /etc/airflow/dag_sync_strict.json")
    assert "removed " in said
    assert probe.has("scheduler1", old)
    assert not probe.is_free("scheduler1", old)
    # The others too, which other tests have ended if they were run.
    for run in (run for run in runs.values() if run.startswith("/")):
        if probe.cluster.api.call("GET", run)["state"] in ("queued", "running"):
            probe.cluster.api.call("PATCH", run, {"state": "failed"})
    probe.cluster.wait(
        lambda: probe.is_free("scheduler1", old), 60, "the release of an ended run is let go"
    )


@pytest.mark.timeout(400)
def test_rollback_counts_for_the_next_run(probe, runs):
    """What the fleet's playbook does to roll back all nodes is shown without Airflow: dag_sync."""
    assert runs
    nodes = probe.cluster.nodes
    previous, newest = list(probe.labels)[-2:]
    assert [probe.cluster.published(name) for name in nodes] == [newest] * 3

    def everywhere(action):
        for name in nodes:
            probe.cluster.node(name).check_output(f"airflow-dag-sync {action}")

    try:
        everywhere(f"rollback {previous}")
        assert [probe.cluster.published(name) for name in nodes] == [previous] * 3
        probe.wait_until_parsed(previous)
        run = probe.begin("rolled-back")
        probe.signal(run)
        probe.cluster.end(run)
        assert probe.told(run) == probe.expected(previous, "a", "b")
    finally:
        everywhere("unpin")
    probe.cluster.sync(newest)
