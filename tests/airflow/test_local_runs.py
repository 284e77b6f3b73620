"""What runs by dag.test() ask in place of the API server: its newest version alone."""

import pytest
from airflow.api_fastapi.execution_api import versions
from airflow.api_fastapi.execution_api.routes import execution_api_router
from airflow.sdk.api.datamodels import _generated

from rax.airflow._local_runs import serve_newest_version


@pytest.fixture
def served(monkeypatch):
    """Return a function that asks for it, and returns the versions that are served then."""
    for holder, name in ((versions, "bundle"), (execution_api_router, "routes")):
        monkeypatch.setattr(holder, name, getattr(holder, name))

    def served():
        serve_newest_version()
        return [version.value for version in versions.bundle.versions]

    return served


def test_one_version_is_served(served):
    assert served() == [_generated.API_VERSION]


def test_all_are_served_where_tasks_ask_an_older_one(served, monkeypatch):
    every = [version.value for version in versions.bundle.versions]
    monkeypatch.setattr(_generated, "API_VERSION", every[-1])
    assert served() == every
    assert len(every) > 1
