# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof at the end of site.yml found, per node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers


def health_problems(
    states: Sequence[str], components: Sequence[str], report: str, host: str, asked: bool
) -> list[dict[str, str]]:
    """Return the problems of one node, as dicts of component and problem.

    Takes what ``systemctl is-active`` printed of the components' units, the report of
    ``python -m rax.airflow.health``, the node's name, and whether this is the node that the report
    was made on, to which the problems belong that name no host. Raises AnsibleFilterError when
    there are not as many states as components, or what systemctl printed is no state.
    """
    try:
        told = node_answers.unit_states(states, len(components))
    except node_answers.AnswerError as error:
        raise AnsibleFilterError(f"health_problems: {error} of {host}") from None
    problems = [
        {"component": component, "problem": f"its unit is {state}"}
        for component, state in zip(components, told, strict=True)
        if state != "active"
    ]
    try:
        reported = node_answers.health_report(report)
    except node_answers.AnswerError as error:
        reported = [
            {
                "host": "",
                "component": "health",
                "problem": f"the check itself failed ({error}); its last words are below",
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
        """Return name → function."""
        return {"health_problems": health_problems}
