# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person or a monitor asks: the status in JSON, and Prometheus' metrics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from airflow_dag_sync.releases import Releases
from airflow_dag_sync.state import State
from airflow_dag_sync.text import one_line, timestamp


def status(releases: Releases, state: State) -> dict[str, Any]:
    """Gather what the command `status` prints; times are in UTC, and None is never."""
    published, success = releases.published(), releases.succeeded()
    since, error, blocked = releases.published_since(), state.error, state.blocked
    pinned = state.pinned_since
    return {
        "published": published,
        "published_since": timestamp(since) if since else None,
        "seen": state.seen,
        "previous": state.previous,
        "pinned": state.pinned,
        "pinned_since": timestamp(pinned) if pinned else None,
        "blocked": blocked
        and {
            "sha": blocked.sha,
            "reason": blocked.reason,
            "since": timestamp(blocked.since),
        },
        "last_success": timestamp(success) if success else None,
        "age_seconds": max(0, round(time.time() - success)) if success else None,
        "error": error and error.message,
        "error_since": error and timestamp(error.since),
        "warnings": state.release(published).all_warnings,
        "failures": state.failures,
        "repairs": state.repairs,
        "releases": [release.name for release in releases.by_age()],
    }


def write_metrics(file: Path, ref: str, releases: Releases, state: State) -> None:
    """Write the same for Prometheus' node_exporter."""
    published = releases.published()
    values = {
        "last_success_timestamp_seconds": ("gauge", releases.succeeded()),
        "published_timestamp_seconds": ("gauge", releases.published_since()),
        "last_exit_code": ("gauge", state.code),
        "blocked": ("gauge", int(state.blocked is not None)),
        "pinned": ("gauge", int(state.pinned is not None)),
        "failures_total": ("counter", state.failures),
        "repairs_total": ("counter", state.repairs),
    }
    lines = []
    for name, (kind, value) in values.items():
        if value is not None:
            name = f"airflow_dag_sync_{name}"
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
    labels = {"published": published, "seen": state.seen, "ref": ref}
    quoted = {
        key: one_line(value or "").replace("\\", "\\\\").replace('"', '\\"')
        for key, value in labels.items()
    }
    text = ",".join(f'{key}="{value}"' for key, value in quoted.items())
    lines += ["# TYPE airflow_dag_sync_info gauge", f"airflow_dag_sync_info{{{text}}} 1"]
    new = file.with_name(f"{file.name}.tmp")
    new.write_text("\n".join(lines) + "\n", encoding="utf-8")
    new.chmod(0o644)
    new.replace(file)
