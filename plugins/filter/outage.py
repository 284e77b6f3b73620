# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that let Airflow's tasks outlive an outage, for the role airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils import outage


def outage_settings(seconds: Any) -> dict[str, dict[str, Any]]:
    """Return section → option → value of Airflow's settings, for an outage of so many seconds."""
    if found := list(outage.problems(seconds, {})):
        raise AnsibleFilterError(f"outage_settings: {found[0]}")
    return outage.settings(int(seconds))


def outage_problems(seconds: Any, given: Any = None) -> list[str]:
    """Return what is wrong with the seconds, and with settings that a user gives beside them."""
    return list(outage.problems(seconds, given))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"outage_problems": outage_problems, "outage_settings": outage_settings}
