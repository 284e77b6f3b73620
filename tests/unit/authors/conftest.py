"""A deployment for all tests, and a laptop for each."""

import pytest

from tests.unit.authors.standin import Deployment, Laptop


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uv")


@pytest.fixture(scope="session")
def deployment(tmp_path_factory):
    """The deployment that no test changes."""
    return Deployment(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def laptop(tmp_path, deployment, uv_cache):
    """Return one that has nothing in its cache."""
    return Laptop(tmp_path / "laptop", deployment, uv_cache)


@pytest.fixture(scope="module")
def made(tmp_path_factory, deployment, uv_cache):
    """Return a laptop that has made the environment of v1."""
    laptop = Laptop(tmp_path_factory.mktemp("made") / "laptop", deployment, uv_cache)
    ended = laptop.run()
    assert ended.code == 0, ended.err
    return laptop
