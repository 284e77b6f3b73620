"""What role airflow and the package name for Airflow to load is in the library."""

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = [
    ROOT / "pyproject.toml",
    ROOT / "plugins/plugin_utils/outage.py",
    *(path for path in (ROOT / "roles/airflow").rglob("*") if path.is_file()),
]
# Python writes there what it has compiled, unless it is told not to.
COMPILED = ".pyc"
NAME = re.compile(r"\brax\.airflow(?:\.\w+)+(?::\w+)?")
TEXTS = [path.read_text() for path in PLACES if path.suffix != COMPILED]
NAMES = sorted({name for text in TEXTS for name in NAME.findall(text)})


def test_there_are_names():
    """The ones that every deployment has."""
    assert {
        "rax.airflow.bundle.ReleaseBundle",
        "rax.airflow.coordinator.Coordinator",
        "rax.airflow.dag_files.might_contain_dag",
        "rax.airflow.executor.CeleryExecutor",
        "rax.airflow.plugin:ReasonsPlugin",
        "rax.airflow.secrets.CredentialsBackend",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_can_be_loaded(name):
    assert pkgutil.resolve_name(name)
