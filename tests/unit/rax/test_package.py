"""The package itself: what importing it costs, and its version."""

import subprocess
import sys
import tomllib
from pathlib import Path

import rax

ROOT = Path(rax.__file__).parents[2]


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert rax.__version__ == project["version"]


def test_configs_and_credentials_import_neither_airflow_nor_yaml():
    program = (
        "import sys, rax.config, rax.credentials;"
        "print(sorted({'airflow', 'yaml', 'difflib', 'ansible', 'dataclasses', 'inspect',"
        "'datetime', 'logging'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"
