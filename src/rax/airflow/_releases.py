# SPDX-License-Identifier: Apache-2.0
"""Which release a run is of, and where people look at it."""

import os
from pathlib import Path
from typing import Any

from rax.airflow._release_lock import SHA

_PLACEHOLDER = "{version}"


def release(dag: Any = None) -> str | None:
    """Return the sha of the release that a DAG was loaded from, or else of this process's.

    They differ in the DAG processor, which calls for runs of older releases, too.
    """
    parts = Path(getattr(dag, "fileloc", None) or "").parts
    loaded_from = next((part for part in parts if SHA.fullmatch(part)), None)
    folder = os.environ.get("RAX_RELEASE_DIR")
    return loaded_from or (Path(folder).name if folder else None)


def release_url(sha: str | None) -> str | None:
    """Return the page of a release, made by ``RAX_RELEASE_URL``, or None where there is none.

    >>> os.environ["RAX_RELEASE_URL"] = "https://git.example.org/dags/commit/{version}"
    >>> release_url("4f2a" * 10)
    'https://git.example.org/dags/commit/4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a'
    """
    template = os.environ.get("RAX_RELEASE_URL", "")
    if not template.startswith(("https://", "http://")) or not sha or not SHA.fullmatch(sha):
        return None
    return template.replace(_PLACEHOLDER, sha)
