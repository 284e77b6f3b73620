"""What leads from a run to its commit: the button in the UI, the summary and the alert."""

import importlib
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
from airflow import plugins_manager
from airflow._shared import module_loading
from airflow.api.common.delete_dag import delete_dag
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType

from rax.airflow import _outcomes, _releases
from rax.workflow import _alerts

URL = "https://git.example.org/dags/commit/"
OLD, NEW = "a" * 40, "b" * 40
DAG = """
from airflow.sdk import DAG, task
with DAG("linked") as dag:
    @task
    def one():
        return {comment!r}
    @task
    def many(number):
        pass
    one()
    many.expand(number=[1, 2])
"""


def forget_plugins():
    sys.modules.pop("rax.airflow.release_link", None)
    module_loading._get_grouped_entry_points.cache_clear()
    plugins_manager._get_plugins.cache_clear()
    plugins_manager._get_extra_operators_links_plugins.cache_clear()


@pytest.fixture
def _told(monkeypatch, tmp_path):
    """Set what the nodes set, where the package is installed with pyproject's entry points."""
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    entry_points = pyproject["project"]["entry-points"]["airflow.plugins"]
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    info = tmp_path / "installed/caspian_rax-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: caspian-rax\nVersion: 0\n")
    (info / "entry_points.txt").write_text("\n".join(["[airflow.plugins]", *lines, ""]))
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.setenv("RAX_RELEASE_URL", URL + "{version}")
    forget_plugins()
    yield
    forget_plugins()


@pytest.fixture
def runs(tmp_path, monkeypatch, _metadata_database):
    """Make a run of one release, and then one of the next, which leaves the structure alone."""
    # As the nodes have it.
    monkeypatch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
    with create_session() as session:
        session.merge(DagBundleModel(name="dags"))
    for sha in (OLD, NEW):
        folder = tmp_path / sha / "dags"
        folder.mkdir(parents=True)
        (folder / "linked.py").write_text(DAG.format(comment=sha[0]))
        bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags")
        sync_bag_to_db(bag, "dags", bundle_version=sha)
        with create_session() as session:
            (version,) = session.scalars(sqlalchemy.select(DagVersion).filter_by(dag_id="linked"))
            session.add(
                DagRun(
                    dag_id="linked",
                    run_id=sha,
                    run_type=DagRunType.MANUAL,
                    bundle_version=sha,
                )
            )
            session.flush()
            assert version.bundle_version == sha, "Airflow's row has moved on"
    yield
    delete_dag("linked")
    with create_session() as session:
        session.execute(sqlalchemy.delete(DagBundleModel))


def links(task_id, run_id):
    """Ask as Airflow's route taskInstances/…/links does."""
    with create_session() as session:
        model = SerializedDagModel.get("linked", session=session)
        task = DBDagBag().get_dag(model.dag_version_id, session=session).get_task(task_id)
    ti = SimpleNamespace(key=TaskInstanceKey("linked", task_id, run_id))
    return {name: task.get_extra_links(ti, name) for name in task.extra_links}


@pytest.mark.usefixtures("_told", "runs")
@pytest.mark.parametrize("task_id", ["one", "many"])
def test_the_button_leads_to_the_commit_of_the_run(task_id):
    """Not to the newest release, as the bundle's link under "Dag Version(s)" did."""
    assert links(task_id, OLD) == {"Release": URL + OLD}
    assert links(task_id, NEW) == {"Release": URL + NEW}


@pytest.mark.usefixtures("_told", "runs")
@pytest.mark.parametrize("version", [None, "", "main", "../../x", '"><script>', OLD + "\n"])
def test_a_run_of_no_release_has_no_link(version):
    with create_session() as session:
        session.execute(sqlalchemy.update(DagRun).values(bundle_version=version))
    assert links("one", OLD) == {"Release": ""}


@pytest.mark.usefixtures("_told", "runs")
def test_a_run_that_is_gone():
    assert links("one", "nowhere") == {"Release": ""}


def test_no_button_without_an_address(monkeypatch):
    monkeypatch.delenv("RAX_RELEASE_URL", raising=False)
    forget_plugins()
    plugin = importlib.import_module("rax.airflow.release_link").ReleasePlugin
    assert plugin.global_operator_extra_links == []


@pytest.mark.parametrize(
    "template", ["", "javascript:alert(1)//{version}", "git.example.org/{version}"]
)
def test_an_address_that_is_none(monkeypatch, template):
    monkeypatch.setenv("RAX_RELEASE_URL", template)
    assert _releases.release_url(OLD) is None


@pytest.mark.parametrize(
    ("fileloc", "expected"),
    [
        (f"/home/airflow/.airflow-git-dir/releases/{OLD}/dags/a.py", OLD),
        ("/home/airflow/dags/a.py", NEW),
        (None, NEW),
    ],
)
def test_a_callback_in_the_dag_processor_tells_of_the_release_of_the_run(
    monkeypatch,
    alerts,
    fileloc,
    expected,
):
    """The processor itself reads the newest release; the DAG was loaded from the run's."""
    monkeypatch.setenv("RAX_RELEASE_DIR", f"/releases/{NEW}")
    monkeypatch.setenv("RAX_RELEASE_URL", URL + "{version}")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    dag = SimpleNamespace(dag_id="linked", fileloc=fileloc, dagrun_timeout=None)
    _alerts.run_failed(_outcomes.of_run("linked", "one", dag))
    ((_, (_, _, _, details, _), options),) = alerts.sent
    assert (details["release"], details["release_url"]) == (expected, URL + expected)
    assert options["links"] == {
        "The run in Airflow": "https://airflow.example.com/dags/linked/runs/one",
        "The release": URL + expected,
    }
