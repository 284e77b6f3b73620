# SPDX-License-Identifier: Apache-2.0
"""The versions of what runs here, which should be the same on all nodes."""

import os
import re
import sys
from pathlib import Path

from rax.cli._node._part import Part
from rax.cli._node.release import DAG_SYNC

ENVIRONMENT = Path("/opt/airflow/current")
# The launcher of the sync names the folder of its modules after their content.
_SYNC_FOLDER = re.compile(r'^FOLDER = ".*/([0-9a-f]{16})"$', re.MULTILINE)
_MAX_LAUNCHER_BYTES = 10_000


def environment() -> Part:
    """Look at the Python environment that runs this, at Airflow's, and at the sync."""
    from importlib import metadata

    from rax import __version__

    try:
        airflow: str | None = metadata.version("apache-airflow")
    except metadata.PackageNotFoundError:
        airflow = None
    try:
        deployed: str | None = ENVIRONMENT.readlink().name
    except OSError:
        deployed = None
    found = {
        "name": os.environ.get("RAX_ENVIRONMENT") or None,
        "node": os.uname().nodename,
        "address": os.environ.get("RAX_ADDRESS") or None,
        "python_environment": deployed,
        "airflow": airflow,
        "rax": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "sync": _sync_version(),
    }
    versions = [
        f"Airflow {airflow}" if airflow else "no Airflow",
        f"rax {found['rax']}",
        f"Python {found['python']}",
    ]
    lines = [", ".join([found["name"] or "without a name (RAX_ENVIRONMENT)", *versions])]
    lines += [f"{ENVIRONMENT} is {deployed}"] if deployed else []
    return Part(found, lines, [])


def _sync_version() -> str | None:
    try:
        with DAG_SYNC.open("rb") as file:
            launcher = file.read(_MAX_LAUNCHER_BYTES).decode(errors="replace")
    except OSError:
        return None
    match = _SYNC_FOLDER.search(launcher)
    return match[1] if match else None
