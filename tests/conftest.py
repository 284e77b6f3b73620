"""Puts this checkout where Ansible's own loader finds it as the collection caspian.airflow."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
sys.path.insert(0, str(ROOT / "collections"))
