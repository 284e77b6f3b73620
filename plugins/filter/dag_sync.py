# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role dag_sync asks its nodes and its program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils.sync_report import (
    sync_report,
    sync_status,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.sync_settings import (
    sync_settings_problems,
)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {
            "sync_report": sync_report,
            "sync_settings_problems": sync_settings_problems,
            "sync_status": sync_status,
        }
