"""Helpers are in credential_testing.py; this makes them importable."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    for item in items:
        if "place" in getattr(item, "fixturenames", ()) and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="owners and modes need root"))
