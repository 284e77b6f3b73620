"""Helpers are in vault_testing.py; this makes them importable."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def lookups(tmp_path_factory):
    """Return a process that runs lookups: see Lookups."""
    from vault_testing import Lookups

    process = Lookups(tmp_path_factory.mktemp("lookups") / "log")
    yield process
    process.stop()
