# SPDX-License-Identifier: Apache-2.0
"""What each run by ``dag.test()`` needs, for ``rax run`` and ``rax flow``: no scheduler is there.

Importing this imports no Airflow: whoever starts the process that has it asks for the template.
"""

import contextlib
import datetime
import os
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rax import _laptop


def database_template() -> Path:
    """Return where the empty metadata database of this Airflow is kept, or is to be."""
    parts = []
    # Both make tables.
    for package in ("apache-airflow-core", "apache-airflow-providers-fab"):
        with contextlib.suppress(PackageNotFoundError):
            parts.append(version(package))
    return _laptop.cache_folder() / "databases" / f"airflow-{'-'.join(parts)}.db"


def make_database(template: Path) -> None:
    """Make the metadata database that Airflow's settings name, and keep a copy of it."""
    from airflow import settings
    from airflow.utils.db import initdb

    initdb()
    template.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = template.with_name(f".{template.name}.{os.getpid()}")
    try:
        with (
            sqlite3.connect(str(settings.engine.url.database)) as made,
            sqlite3.connect(new) as copy,
        ):
            made.backup(copy)
        new.replace(template)
    finally:
        new.unlink(missing_ok=True)


def start_api() -> None:
    """Start what tasks ask in place of the API server, which takes some seconds."""
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor

    serve_newest_version()
    remember_dependencies()
    # If this fails, the first task's first question starts it, in the time of that task.
    with contextlib.suppress(Exception):
        InProcessTestSupervisor._api_client().get("health")


def serve_newest_version() -> None:
    """Have the API made in its newest version alone, before it is made: tasks here ask no other.

    Airflow makes it in all versions that a worker may ask, which takes half of a short run.
    """
    from airflow.api_fastapi.execution_api import versions
    from airflow.api_fastapi.execution_api.routes import execution_api_router
    from airflow.sdk.api.datamodels._generated import API_VERSION
    from cadwyn import HeadVersion, Version, VersionBundle
    from cadwyn.route_generation import _DELETED_ROUTE_TAG

    if versions.bundle.versions[0].value != API_VERSION:
        return
    versions.bundle = VersionBundle(HeadVersion(), Version(API_VERSION))
    # What only older versions have would be looked for in them.
    execution_api_router.routes = [
        route
        for route in execution_api_router.routes
        if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())
    ]


def remember_dependencies() -> None:
    """Have the API find out what its functions depend on once, and not at each request.

    FastAPI remembers it, but not where dependencies are overridden, as Airflow does in one process:
    there it takes a quarter of a run.
    """
    from fastapi.dependencies import utils

    find = utils.get_dependant
    if hasattr(find, "remembered"):
        return
    remembered: dict[Any, Any] = {}

    def get_dependant(**options: Any) -> Any:
        key = tuple(
            (name, tuple(value) if isinstance(value, list) else value)
            for name, value in options.items()
        )
        if key not in remembered:
            remembered[key] = find(**options)
        return remembered[key]

    get_dependant.remembered = remembered  # type: ignore[attr-defined]  # it is a mark
    utils.get_dependant = get_dependant


def masked_output() -> Any:
    """Return standard output with the secrets masked that tasks have asked for."""
    from airflow.sdk._shared.secrets_masker import RedactedIO

    class MaskedOutput(RedactedIO):  # type: ignore[misc]  # Airflow is not here when types are checked
        """With what Airflow's own leaves out of a stream of Python."""

        @property
        def buffer(self) -> Any:
            return self.target.buffer

        @property
        def encoding(self) -> str:
            return str(self.target.encoding)

    return MaskedOutput()


def retry_at_once(task: Any) -> None:
    """Leave out the pauses before retries, for which a person would wait in vain."""
    options = task.partial_kwargs if task.is_mapped else vars(task)
    options["retry_delay"] = datetime.timedelta()
    options["retry_exponential_backoff"] = False
