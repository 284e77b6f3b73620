"""Puts this checkout where Ansible's own loader finds it as the collection caspian.airflow."""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
sys.path.insert(0, str(ROOT / "collections"))


def pytest_collection_finish():
    """Spare each later search for garbage, also those of forks, all that was collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def place():
    """Return a directory that every account can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="caspian-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
