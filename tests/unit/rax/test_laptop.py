"""A DAG repository on a laptop: where it begins, and the settings that it is run with."""

import re
from pathlib import Path

import pytest
import yaml

from rax import _laptop
from rax.errors import CommandError

ROLE = Path(__file__).parents[3] / "roles/airflow/vars/main.yml"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("RAX_CREDENTIALS_DIR", raising=False)
    monkeypatch.delenv("RAX_CONFIG_DIR", raising=False)
    root = tmp_path / "dags"
    (root / "dags/genes").mkdir(parents=True)
    (root / "rax.toml").touch()
    return root


def test_the_root_is_the_nearest_folder_with_a_rax_toml(root):
    assert _laptop.find_root(root) == root
    assert _laptop.find_root(root / "dags/genes") == root
    (root / "dags/genes/rax.toml").touch()
    assert _laptop.find_root(root / "dags/genes") == root / "dags/genes"


def test_the_repository_whose_wrapper_runs_this(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root / "dags")
    monkeypatch.delenv("RAX_REPOSITORY", raising=False)
    assert _laptop.find_root() == root
    other = tmp_path / "other"
    other.mkdir()
    (other / "rax.toml").touch()
    monkeypatch.setenv("RAX_REPOSITORY", str(other))
    assert _laptop.find_root() == other


def test_a_folder_of_no_repository(root):
    (root / "rax.toml").unlink()
    (root / "rax.toml").mkdir()
    where = re.escape(str(root / "dags"))
    with pytest.raises(CommandError, match=f"^{where} is in no DAG repository: .* a rax.toml$"):
        _laptop.find_root(root / "dags")


def test_configs_of_the_laptop_are_merged_over_the_others(root):
    (root / "configs").mkdir()
    assert _laptop.local_settings(root)["RAX_CONFIG_DIR"] == f"{root}/configs"
    (root / "local/configs").mkdir(parents=True)
    assert _laptop.local_settings(root) == {
        "RAX_CREDENTIALS_DIR": f"{root}/local/credentials",
        "RAX_CONFIG_DIR": f"{root}/configs:{root}/local/configs",
    }


def test_what_is_set_already_counts(root, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", "/elsewhere")
    monkeypatch.setenv("RAX_CONFIG_DIR", "/a:/b")
    assert _laptop.local_settings(root) == {
        "RAX_CREDENTIALS_DIR": "/elsewhere",
        "RAX_CONFIG_DIR": "/a:/b",
    }


def test_nothing_of_a_repository_hides_a_module_of_airflow(root):
    assert _laptop.import_path(root, "dags") == [f"{root}/dags", str(root)]
    assert _laptop.import_path(root, ".") == [str(root)]
    assert "PYTHONPATH" not in _laptop.settings(root, "dags")


def test_settings_of_another_airflow_are_left_out():
    kept = {"PATH": "/bin", "AIRFLOW_VAR_A": "1", "AIRFLOW_CONN_B": "x://", "MY_AIRFLOW_HOME": "h"}
    dropped = dict.fromkeys(
        ["AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "_AIRFLOW_X", "AIRFLOW_CONFIG"]
    )
    assert _laptop.without_airflow(kept | dropped) == kept


def test_the_settings_are_those_of_the_nodes(root):
    role = yaml.safe_load(ROLE.read_text())["__airflow_settings"]
    found = _laptop.settings(root, "dags")
    assert found.pop("AIRFLOW__CORE__DAGS_FOLDER") == f"{root}/dags"
    shown = {name: value for name, value in found.items() if name.startswith("AIRFLOW__")}
    assert len(shown) == 4
    for name, value in shown.items():
        section, option = name.removeprefix("AIRFLOW__").lower().split("__")
        assert str(role[section][option]) == value, name
