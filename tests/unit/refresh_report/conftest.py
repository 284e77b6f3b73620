"""The program as a module, and a control node in a folder."""

import importlib.util
import sys

import pytest

from tests.unit.refresh_report.report_testing import PROGRAM, Control


@pytest.fixture(scope="session")
def program():
    """Return the program as a module."""
    spec = importlib.util.spec_from_file_location("caspian_refresh_report", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def control(tmp_path, program, monkeypatch):
    return Control(tmp_path, program, monkeypatch)
