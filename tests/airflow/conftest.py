"""Tests that need Airflow: run them in an environment made of packages/requirements-*.txt."""

import importlib.util
import os
import tempfile

import pytest

if importlib.util.find_spec("airflow") is None:
    collect_ignore_glob = ["*.py"]
else:
    # Before the first import of Airflow, which writes its configuration there.
    _home = tempfile.TemporaryDirectory(prefix="airflow-home-")
    os.environ["AIRFLOW_HOME"] = _home.name
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

    from tests.airflow.authors_testing import authors  # noqa: F401 - pytest finds fixtures here
    from tests.airflow.page_testing import author  # noqa: F401 - pytest finds fixtures here
    from tests.airflow.workflow_testing import alerts, load, run  # noqa: F401 - pytest finds fixtures here


@pytest.fixture(scope="session")
def _metadata_database():
    """Make Airflow's database in that home."""
    from airflow.utils.db import initdb

    initdb()
