# Copyright: The caspian-deploy maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof at the end of site.yml found, per node."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def health_problems(
    states: Sequence[str], components: Sequence[str], report: str, host: str, asked: bool
) -> list[dict[str, str]]:
    """Return the problems of one node, as dicts of component and problem.

    Takes what ``systemctl is-active`` printed of the components' units, the report of
    ``python -m rax.airflow.health``, the node's name, and whether this is the node that the report
    was made on, to which the problems belong that name no host. Raises AnsibleFilterError when
    there are not as many states as components.
    """
    if len(states) != len(components):
        raise AnsibleFilterError(
            f"health_problems: systemctl told {len(states)} states"
            f" of {len(components)} components of {host}"
        )
    problems = [
        {"component": component, "problem": f"its unit is {state}"}
        for component, state in zip(components, states, strict=True)
        if state != "active"
    ]
    try:
        reported = json.loads(report)["problems"]
    except (ValueError, TypeError, KeyError):
        reported = [
            {
                "host": "",
                "component": "health",
                "problem": "the check itself failed; its last words are below",
            }
        ]
    problems += [
        {"component": found["component"], "problem": found["problem"]}
        for found in reported
        if found["host"] == host or (asked and not found["host"])
    ]
    return problems


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the filters' names to the functions."""
        return {"health_problems": health_problems}
