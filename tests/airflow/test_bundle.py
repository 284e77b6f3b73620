"""ReleaseBundle over a directory as airflow-dag-sync leaves it, with Airflow's own callers."""

import fcntl
import gc
import json
import logging
import multiprocessing
import os
import re
import shutil
import socket
import sys
import warnings
from pathlib import Path

import pytest
import sqlalchemy
from airflow.dag_processing.bundles.base import BundleVersion, unpack_bundle_version
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.manager import DagFileProcessorManager
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType

from rax.airflow import bundle as module
from rax.airflow.bundle import ReleaseBundle
from rax.config import get_config
from rax.errors import RaxError, ReleaseNotFoundError

A, B, C = "a" * 40, "b" * 40, "c" * 40

DAG = """
from airflow.sdk import DAG
from rax.config import get_config
from helpers.text import HELPER

with DAG("example", description=f"dag {name}, {{HELPER}}, {{get_config('example').text}}"):
    pass
"""


class Node:
    """The files of dag_sync on one node."""

    def __init__(self, home):
        self.link = home / "airflow-git-dir"
        self.releases = home / ".airflow-git-dir/releases"
        self.releases.mkdir(parents=True)
        self.sync_command = home / "airflow-dag-sync"

    def add(self, sha, dags="dags"):
        root = self.releases / sha
        name = sha[0]
        files = {
            f"{dags}/example.py": DAG.format(name=name),
            "helpers/text.py": f"HELPER = 'helper {name}'\n",
            "configs/example.yaml": f"text: config {name}\n",
            # What must not be taken for a DAG file.
            "tests/test_dags.py": "from airflow.sdk import DAG\nDAG('wrong')\n",
        }
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root

    def publish(self, sha):
        if not (self.releases / sha).is_dir():
            self.add(sha)
        new = self.link.with_name("new")
        new.symlink_to(Path(".airflow-git-dir/releases", sha))
        new.rename(self.link)

    def sync_does(self, script):
        self.sync_command.write_text(f"#!/bin/sh\n{script}\n")
        self.sync_command.chmod(0o755)

    def bundle(self, version=None, **kwargs):
        kwargs = {"link": str(self.link), "sync_command": str(self.sync_command)} | kwargs
        return ReleaseBundle(name="dags", version=version, **kwargs)

    def is_free(self, sha):
        """Tell whether the release could be pruned: this takes its lock as dag_sync does."""
        descriptor = os.open(self.releases / sha, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


@pytest.fixture
def node(tmp_path, _metadata_database):
    node = Node(tmp_path.resolve())
    node.publish(A)
    return node


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch):
    """Undo what a bundle does to its process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(module, "_entered", None)
    monkeypatch.setattr(module, "_follower", None)
    monkeypatch.setenv("RAX_RELEASE_DIR", "to be undone")
    monkeypatch.delenv("RAX_RELEASE_DIR")
    monkeypatch.delenv("RAX_CONFIG_DIR", raising=False)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "helpers"]:
        del sys.modules[name]


def in_child(function, *arguments):
    """Call it in a forked process, as Airflow does for each parse and each task."""

    def call(pipe):
        pipe.send(function(*arguments))

    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    with warnings.catch_warnings(action="ignore"):  # of forking beside Airflow's threads
        child = fork.Process(target=call, args=(there,))
        child.start()
    there.close()
    answer = here.recv()
    child.join()
    return answer


def parse(path):
    """Do what a child of the DAG processor does."""
    bag = BundleDagBag(dag_folder=path, bundle_path=path, bundle_name="dags")
    assert bag.import_errors == {}
    return {dag_id: dag.description for dag_id, dag in bag.dags.items()}


def run_task(version):
    """Do what the process of a task does, and read a config in the task."""
    bundle = DagBundlesManager().get_bundle("dags", version)
    bundle.initialize()
    return [*parse(bundle.path).values(), get_config("example").text]


@pytest.fixture
def configured(node, monkeypatch):
    """Configure the bundle as the role does."""
    bundles = [
        {
            "name": "dags",
            "classpath": "rax.airflow.bundle.ReleaseBundle",
            "kwargs": {
                "link": str(node.link),
                "refresh_interval": 5,
                "view_url_template": "https://git.example.com/dags/tree/{version}",
            },
        }
    ]
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(bundles))
    return node


@pytest.mark.usefixtures("configured")
def test_airflow_makes_it_from_its_configuration():
    bundle = DagBundlesManager().get_bundle("dags")
    assert isinstance(bundle, ReleaseBundle)
    assert bundle.supports_versioning
    assert bundle.refresh_interval == 5
    assert bundle.view_url_template() == "https://git.example.com/dags/tree/{version}"


def test_making_it_needs_no_files(tmp_path):
    bundle = ReleaseBundle(name="dags", link=str(tmp_path / "link"))
    assert bundle.path == tmp_path / "link/dags"
    pinned = ReleaseBundle(name="dags", link=str(tmp_path / "link"), version=A)
    assert pinned.path == tmp_path / ".link/releases" / A / "dags"
    assert pinned.get_current_version() == BundleVersion(A)


@pytest.mark.parametrize("dags", ["airflow/dags", ".", "./catalog//dags/"])
def test_where_a_repository_keeps_its_dags(configured, monkeypatch, dags):
    """The dag-processor and the tasks find them there; helpers and configs are found as ever."""
    for sha in (B, C):
        release = configured.add(sha, dags)
        # In the root, all that is no DAG has to be ignored: it would be run as one.
        (release / ".airflowignore").write_text("tests/\nhelpers/\n")
    configured.publish(B)
    (entry,) = json.loads(os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    entry["kwargs"]["dags_folder"] = dags
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([entry]))
    bundle = DagBundlesManager().get_bundle("dags")
    assert bundle.path == configured.link.resolve() / dags
    bundle.initialize()
    assert bundle.path == configured.releases / B / dags
    assert in_child(parse, bundle.path) == {"example": "dag b, helper b, config b"}
    assert in_child(run_task, C) == ["dag c, helper c, config c", "config c"]
    configured.publish(C)
    bundle.refresh()
    assert in_child(parse, bundle.path) == {"example": "dag c, helper c, config c"}


@pytest.mark.parametrize("dags", ["", "..", "../x", "dags/../..", "a/../b", "/etc", "//etc"])
def test_a_folder_of_dags_that_is_not_in_the_release(node, dags):
    expected = f"dags_folder of bundle dags is {dags!r}: give a folder of the repository"
    with pytest.raises(RaxError, match=f"^{re.escape(expected)}"):
        node.bundle(dags_folder=dags)


@pytest.mark.parametrize("link", ["dags", "airflow"])
@pytest.mark.parametrize("target", ["/etc", "../..", f"../{A}", "../../../.."])
def test_a_folder_of_dags_that_is_a_link_out_of_the_release(node, link, target):
    """What it leads to is never parsed; the dag-processor stays on the release before."""
    folder = "dags" if link == "dags" else "airflow/dags"
    node.add(A, folder)
    bundle = node.bundle(dags_folder=folder)
    bundle.initialize()
    node.add(B, "elsewhere")
    (node.releases / B / link).symlink_to(target)
    node.publish(B)
    expected = f"{node.releases / B / folder}: is a link that leads out of the release"
    with pytest.raises(RaxError, match=f"^{re.escape(expected)}$"):
        bundle.refresh()
    assert bundle.path == node.releases / A / folder
    assert not node.is_free(A)
    assert os.environ["RAX_RELEASE_DIR"] == str(node.releases / A)
    gc.collect()
    assert node.is_free(B)
    with pytest.raises(RaxError, match=f"^{re.escape(expected)}$"):
        node.bundle(B, dags_folder=folder).initialize()


def test_a_folder_of_dags_that_is_a_link_inside_of_the_release(node):
    node.add(B, "airflow/dags")
    (node.releases / B / "dags").symlink_to("airflow/dags")
    node.publish(B)
    bundle = node.bundle()
    bundle.initialize()
    assert in_child(parse, bundle.path) == {"example": "dag b, helper b, config b"}


def test_the_version_is_the_sha_and_deprecated_in_no_way(node):
    with warnings.catch_warnings(action="error"):
        assert unpack_bundle_version(node.bundle().get_current_version(), node.bundle()) == (
            A,
            None,
        )


def test_the_published_release_until_refresh(node):
    bundle = node.bundle()
    bundle.initialize()
    node.publish(B)
    assert bundle.get_current_version().version == A
    assert bundle.path == node.releases / A / "dags"
    bundle.refresh()
    assert bundle.get_current_version().version == B
    assert bundle.path == node.releases / B / "dags"
    assert os.environ["RAX_RELEASE_DIR"] == str(node.releases / B)


def test_only_the_newest_release_is_importable(node):
    bundle = node.bundle()
    bundle.initialize()
    path = list(sys.path)
    from helpers import text

    assert text.HELPER == "helper a"
    node.publish(B)
    bundle.refresh()
    from helpers import text

    assert text.HELPER == "helper b"
    assert sys.path[-1] == str(node.releases / B)
    assert sys.path[:-1] == path[:-1]
    bundle.refresh()
    assert len(sys.path) == len(path)


def test_the_dag_processor_moves_on(node):
    """Its children parse what is published, all of one release; tests are no DAGs."""
    bundle = node.bundle()
    bundle.initialize()
    assert in_child(parse, bundle.path) == {"example": "dag a, helper a, config a"}
    node.publish(B)
    bundle.refresh()
    assert in_child(parse, bundle.path) == {"example": "dag b, helper b, config b"}


def test_run_stays_on_release(configured):
    """A task of a run that began on A takes everything from A; one of the next run from B."""
    configured.publish(B)
    assert in_child(run_task, A) == ["dag a, helper a, config a", "config a"]
    assert in_child(run_task, B) == ["dag b, helper b, config b", "config b"]
    assert in_child(run_task, None) == ["dag b, helper b, config b", "config b"]


def test_a_release_stays_as_it_was_published(configured):
    before = sorted(configured.releases.rglob("*"))
    in_child(run_task, A)
    assert sorted(configured.releases.rglob("*")) == before


def test_a_callback_of_an_older_run_does_not_switch_the_dag_processor(configured):
    bundle = configured.bundle()
    bundle.initialize()
    configured.publish(B)
    bundle.refresh()
    older = configured.bundle(A)
    older.initialize()
    assert older.path == configured.releases / A / "dags"
    assert not configured.is_free(A)
    assert in_child(parse, bundle.path) == {"example": "dag b, helper b, config b"}
    # A process of its own is another matter, whichever process it was forked from.
    assert in_child(run_task, A) == ["dag a, helper a, config a", "config a"]


def test_a_pinned_bundle_has_nothing_to_refresh(node):
    with pytest.raises(RaxError, match=f"bundle dags is pinned to {A}"):
        node.bundle(A).refresh()


@pytest.mark.parametrize("spoil", [
    lambda node: node.link.unlink(),
    lambda node: shutil.rmtree(node.releases / A),
    lambda node: (node.link.unlink(), node.link.mkdir()),
    lambda node: (node.link.unlink(), node.link.symlink_to(node.add("not-a-sha"))),
    lambda node: (node.link.unlink(), node.link.symlink_to("/")),
])  # fmt: skip
def test_nothing_is_published(node, spoil):
    spoil(node)
    expected = (
        f"{node.link} on {socket.gethostname()} does not lead to a release in {node.releases}: "
        f"run {node.sync_command}"
    )
    for call in (node.bundle().initialize, node.bundle().get_current_version):
        with pytest.raises(ReleaseNotFoundError, match=re.escape(expected)):
            call()
    assert "RAX_RELEASE_DIR" not in os.environ


def test_worker_lacks_release(node):
    """The sync program is asked for it, in its own words, and nothing is published."""
    ready = node.add(C).rename(node.releases.parent / "elsewhere")
    node.sync_does(f'echo "$@" > {node.link}.asked; mv {ready} {node.releases / C}')
    bundle = node.bundle(C)
    bundle.initialize()
    assert node.link.with_name("airflow-git-dir.asked").read_text() == f"fetch {C}\n"
    assert in_child(parse, bundle.path) == {"example": "dag c, helper c, config c"}
    assert not node.is_free(C)
    assert node.link.resolve().name == A


def test_a_release_that_is_there_is_not_fetched(node):
    node.sync_does("exit 1")
    node.bundle(A).initialize()
    assert os.environ["RAX_RELEASE_DIR"] == str(node.releases / A)


@pytest.mark.parametrize(("script", "reason"), [
    ("echo begin; echo 'no such commit' >&2; exit 3", "{0} exited with 3: no such commit"),
    ("exit 1", "{0} exited with 1: no output"),
    ("exit 0", "{0} has not brought it to {1}"),
    ("exec sleep 30", "{0} took longer than 0.5 s"),
    (None, "{0}: No such file or directory"),
])  # fmt: skip
def test_a_release_that_cannot_be_brought(node, script, reason):
    if script:
        node.sync_does(script)
    expected = (
        f"release {C} of bundle dags is not on {socket.gethostname()}, and fetching it failed: "
        + reason.format(node.sync_command, node.releases)
    )
    with pytest.raises(ReleaseNotFoundError, match=f"^{re.escape(expected)}$"):
        node.bundle(C, fetch_timeout=0.5).initialize()
    assert "RAX_RELEASE_DIR" not in os.environ


@pytest.mark.parametrize("version", ["main", "../../etc", A[:12], A.upper() + "x", "--help"])
def test_a_version_that_is_no_sha_is_not_asked_for(node, version):
    node.sync_does(f"touch {node.link}.asked")
    with pytest.raises(ReleaseNotFoundError, match="not the full sha of a commit"):
        node.bundle(version).initialize()
    assert not node.link.with_name("airflow-git-dir.asked").exists()


def test_the_release_in_use_is_locked(node):
    node.add(B)
    bundle = node.bundle()
    assert node.is_free(A)
    bundle.initialize()
    assert not node.is_free(A)
    node.publish(B)
    bundle.refresh()
    assert node.is_free(A)
    assert not node.is_free(B)
    del bundle
    gc.collect()
    assert node.is_free(B)


def test_a_child_keeps_the_lock_that_its_parent_has_given_up(node):
    bundle = node.bundle()
    bundle.initialize()
    fork = multiprocessing.get_context("fork")
    end = fork.Event()
    with warnings.catch_warnings(action="ignore"):
        child = fork.Process(target=end.wait)
        child.start()
    node.publish(B)
    bundle.refresh()
    assert not node.is_free(A)
    end.set()
    child.join()
    assert node.is_free(A)


def test_a_release_that_is_pruned_at_that_moment(node, monkeypatch):
    """It goes away between opening and locking it: it is brought again, not used half."""
    real = fcntl.flock

    def prune_then_lock(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        shutil.rmtree(node.releases / B)
        real(descriptor, operation)

    node.add(B)
    node.sync_does(f"cp -r {node.releases / A} {node.releases / B}")
    monkeypatch.setattr(fcntl, "flock", prune_then_lock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    bundle = node.bundle(B)
    bundle.initialize()
    assert not node.is_free(B)
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 1, "the first one is closed"


@pytest.fixture
def runs(_metadata_database):
    """Return a function that makes, or changes, a run of a DAG of a bundle."""

    def put(bundle, run_id, state, version):
        with create_session() as session:
            session.merge(DagBundleModel(name=bundle))
            session.flush()
            session.merge(DagModel(dag_id=f"of_{bundle}", bundle_name=bundle))
            run = session.query(DagRun).filter_by(run_id=run_id).one_or_none()
            if run is None:
                run = DagRun(dag_id=f"of_{bundle}", run_id=run_id, run_type=DagRunType.MANUAL)
                session.add(run)
            run.state, run.bundle_version = state, version

    yield put
    with create_session() as session:
        for model in (DagRun, DagVersion, DagModel, DagBundleModel):
            session.execute(sqlalchemy.delete(model))


@pytest.mark.parametrize("state", ["queued", "running"])
@pytest.mark.parametrize("end", ["success", "failed"])
def test_the_release_of_an_unfinished_run_is_kept(node, runs, state, end):
    runs("dags", "one", state, A)
    bundle = node.bundle()
    bundle.initialize()
    node.publish(B)
    node.publish(C)
    bundle.refresh()
    assert [node.is_free(sha) for sha in (A, B, C)] == [False, True, False]
    runs("dags", "two", state, A)
    runs("dags", "one", end, A)
    bundle.refresh()
    assert not node.is_free(A)
    runs("dags", "two", end, A)
    bundle.refresh()
    assert [node.is_free(sha) for sha in (A, B, C)] == [True, True, False]


def test_only_releases_of_the_bundle_that_are_here_are_kept(node, runs, caplog):
    node.publish(B)
    runs("dags", "elsewhere", "running", C)
    runs("dags", "unversioned", "running", None)
    runs("dags", "of-no-release", "running", "..")
    runs("others", "another", "running", A)
    bundle = node.bundle()
    bundle.initialize()
    before = len(list(Path("/proc/self/fd").iterdir()))
    bundle.refresh()
    assert node.is_free(A)
    assert node.is_free("..")
    assert caplog.records == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_kept_release_that_was_made_anew(node, runs):
    """Someone removed it by hand, and a task fetched it again: the lock is on what is there."""
    runs("dags", "one", "running", A)
    node.publish(B)
    bundle = node.bundle()
    bundle.initialize()
    bundle.refresh()
    shutil.rmtree(node.releases / A)
    bundle.refresh()
    node.add(A)
    bundle.refresh()
    assert not node.is_free(A)


def test_a_database_that_fails(node, runs, caplog):
    """It is said once, what is kept stays kept, and the bundle moves on."""

    def rename(old, new):
        with create_session() as session:
            session.execute(sqlalchemy.text(f"ALTER TABLE {old} RENAME TO {new}"))

    runs("dags", "one", "running", A)
    bundle = node.bundle()
    bundle.initialize()
    node.publish(B)
    bundle.refresh()
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        rename("dag_run", "gone")
        try:
            bundle.refresh()
            node.publish(C)
            bundle.refresh()
        finally:
            rename("gone", "dag_run")
        assert bundle.get_current_version() == BundleVersion(C)
        assert not node.is_free(A)
        (record,) = caplog.records
        assert "runs of bundle dags are pinned to cannot be found" in record.message
        assert "no such table: dag_run" in str(record.exc_info[1])
        caplog.clear()
        bundle.refresh()
        assert caplog.records == []
    runs("dags", "one", "success", A)
    bundle.refresh()
    assert node.is_free(A)


def test_airflows_dag_processor_keeps_releases_and_knows_the_link(configured, runs):
    """With the manager's own refresh, and the model that the UI asks."""
    manager = DagFileProcessorManager(max_runs=1)
    manager.prepare_bundles()
    known = {}
    manager._refresh_dag_bundles(known)
    (file,) = known["dags"]
    assert file.absolute_path == configured.releases / A / "dags/example.py"
    runs("dags", "one", "queued", A)
    configured.publish(B)
    manager.request_bundle_refresh("dags")
    manager._refresh_dag_bundles(known)
    assert not configured.is_free(A)
    with create_session() as session:
        found = session.get(DagBundleModel, "dags")
        assert found.version == B
        assert found.render_url(A) == f"https://git.example.com/dags/tree/{A}"


def test_a_release_that_a_task_uses_counts_as_used_now(node):
    release = node.releases / A
    os.utime(release, (0, 0))
    node.bundle(A).initialize()
    assert release.stat().st_mtime > 0
    # Following it, or asking for its version, is no use.
    os.utime(release, (0, 0))
    bundle = node.bundle()
    bundle.initialize()
    bundle.refresh()
    assert release.stat().st_mtime == 0


def test_a_release_of_another_account_is_used_all_the_same(node, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    node.bundle(A).initialize()
    assert os.environ["RAX_RELEASE_DIR"] == str(node.releases / A)


def test_what_the_fetch_says_is_logged(node, caplog):
    """Two tasks may ask at once; the log of each tells which of them brought it."""
    caplog.set_level(logging.INFO)
    node.sync_does(f"cp -r {node.releases / A} {node.releases / B}; echo begin; echo fetched {B}")
    node.bundle(B).initialize()
    assert f"{node.sync_command}: fetched {B}" in caplog.messages
