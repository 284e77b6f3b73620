# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight's list of problems, for its playbook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils import preflight


def preflight_problems(
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    hosts: Sequence[str],
    now: float,
) -> list[str]:
    """Return all that is wrong with the inventory and the hosts of this run, a line each.

    `now` is this machine's clock, in seconds since the epoch.
    """
    if not isinstance(hostvars, Mapping) or not isinstance(groups, Mapping):
        raise AnsibleFilterError("preflight_problems: give it hostvars, groups and a list of hosts")
    return preflight.problems_of(hostvars, groups, hosts, now)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"preflight_problems": preflight_problems}
