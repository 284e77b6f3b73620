# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts playbooks/health.yml goes on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils import health_report


def health_running(
    hostvars: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], component: str
) -> list[str]:
    """Return those of the hosts that have answered, and on which a component is active.

    Takes the variables of all hosts, in which the answers were registered.
    """
    return health_report.running(health_report.answers_of(hostvars, hosts), hosts, component)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"health_running": health_running}
