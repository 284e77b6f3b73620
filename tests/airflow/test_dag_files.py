"""Which files Airflow runs: its own search asks rax, and the sync's gate has the same rule."""

import logging
import os
import zipfile

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.utils.file import list_py_file_paths, might_contain_dag_via_default_heuristic
from airflow_dag_sync.airflowignore import GLOB
from airflow_dag_sync.scope import Scope

from rax.airflow.dag_files import might_contain_dag

RAN = "import os\nos.environ['RAN'] = os.environ.get('RAN', '') + __file__\n"
# The content of a file, and whether it is run.
FILES = {
    b"": False,
    b"LIMIT = 5\n": False,
    b"from airflow.sdk import DAG\n": True,
    b"FROM AIRFLOW IMPORT dag\n": True,
    b"from rax.workflow import workflow\n": True,
    b"from rax.workflow import check, summary\n": True,
    b"from airflow.sdk import asset\n": True,
    b"from airflow.sdk import Variable\n": False,
    b"from rax.config import get_config\n": False,
    b"dag = workflow = 1\n": False,
    b"from .base import DAG\n": False,
    b"# made by lib.factory: an airflow dag\n": True,
    b"\xff\xfe\x00 airflow dag\n": True,
    "from airflow.sdk import DAG".encode("utf-16"): False,
}


@pytest.fixture(autouse=True)
def _settings_of_the_nodes(monkeypatch):
    name = "rax.airflow.dag_files.might_contain_dag"
    monkeypatch.setenv("AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE", name)
    monkeypatch.setenv("AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE", "True")
    monkeypatch.setenv("RAN", "")


@pytest.mark.parametrize(("content", "runs"), FILES.items())
def test_the_rule(tmp_path, content, runs):
    """Airflow's search, Airflow's DagBag and the gate agree."""
    file = tmp_path / "dags/team/a.py"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert might_contain_dag(str(file)) is runs
    assert (list_py_file_paths(tmp_path / "dags") == [str(file)]) is runs
    assert Scope(tmp_path, "dags", GLOB).runs("dags/team/a.py") is runs
    # What Airflow itself would have run is run here, too.
    assert runs or not might_contain_dag_via_default_heuristic(str(file))


def test_what_is_beside_a_dag_is_not_run(tmp_path):
    (tmp_path / "purge.py").write_text(RAN)
    (tmp_path / "dag.py").write_text(f"{RAN}from airflow.sdk import DAG\ndag = DAG('one')\n")
    bag = BundleDagBag(dag_folder=tmp_path, bundle_path=tmp_path, bundle_name="dags")
    assert (sorted(bag.dags), bag.import_errors) == (["one"], {})
    assert os.environ["RAN"] == str(tmp_path / "dag.py")


def test_a_task_gets_its_file_whatever_the_rule_says(tmp_path):
    """The process of a task loads the file that the DAG was found in, and does not search."""
    file = tmp_path / "purge.py"
    file.write_text(RAN)
    BundleDagBag(dag_folder=file, bundle_path=tmp_path, bundle_name="dags", safe_mode=False)
    assert os.environ["RAN"] == str(file)


def test_an_archive(tmp_path):
    """An archive is always looked into, and the same rule holds for the files in it."""
    archive = tmp_path / "team.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("purge.py", RAN)
        zipped.writestr("zipped_dag.py", "from airflow.sdk import DAG\ndag = DAG('zipped')\n")
    assert list_py_file_paths(tmp_path) == [str(archive)]
    with zipfile.ZipFile(archive) as zipped:
        assert [might_contain_dag(name, zipped) for name in zipped.namelist()] == [False, True]
    bag = BundleDagBag(dag_folder=tmp_path, bundle_path=tmp_path, bundle_name="dags")
    assert (sorted(bag.dags), os.environ["RAN"]) == (["zipped"], "")


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch, caplog):
    """Airflow logs it and finds the others."""
    (tmp_path / "a.py").write_text("from airflow.sdk import DAG\n")
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    bad = tmp_path / "b.py"
    bad.write_text("from airflow.sdk import DAG\n")
    real = type(bad).read_bytes

    def read(path):
        if path.name == "b.py":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(type(bad), "read_bytes", read)
    with caplog.at_level(logging.ERROR):
        assert list_py_file_paths(tmp_path) == [str(tmp_path / "a.py")]
    assert f"Error while examining {bad}" in caplog.text
    assert not Scope(tmp_path, ".", GLOB).runs("b.py")


def test_the_role_sets_it():
    from pathlib import Path

    import yaml

    variables = Path(__file__).parents[2] / "roles/airflow/vars/main.yml"
    core = yaml.safe_load(variables.read_text())["__airflow_settings"]["core"]
    assert core["might_contain_dag_callable"] == "rax.airflow.dag_files.might_contain_dag"
    assert core["dag_discovery_safe_mode"] is True
