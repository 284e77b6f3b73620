"""What runs by dag.test() ask in place of the API server: its newest version, cheaply."""

import pytest
from airflow.api_fastapi.execution_api import versions
from airflow.api_fastapi.execution_api.routes import execution_api_router
from airflow.sdk.api.datamodels import _generated
from fastapi.dependencies import utils

from rax.airflow._local_runs import remember_dependencies, serve_newest_version


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


def test_dependencies_are_found_out_once(monkeypatch):
    monkeypatch.setattr(utils, "get_dependant", utils.get_dependant)
    remember_dependencies()
    remember_dependencies()

    def overriding(number: int):
        return number

    options = {"path": "/x", "call": overriding, "parent_oauth_scopes": ["a"]}
    found = utils.get_dependant(**options)
    assert [one.name for one in found.query_params] == ["number"]
    assert utils.get_dependant(**options) is found
    assert utils.get_dependant(**options | {"parent_oauth_scopes": ["b"]}) is not found
