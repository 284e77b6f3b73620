# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes say of their DAGs, for the fleet's report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers


def sync_status(answer: Any) -> dict[str, Any]:
    """Return the status of a node, and as `problem` why there is none.

    Takes what a task has registered that ran `airflow-dag-sync status`. Whatever a node answers is
    a problem of this node and not of the report.
    """
    if problem := sync_problem(answer):
        return {"problem": problem}
    try:
        return {"problem": "", **node_answers.sync_status(answer.get("stdout"))}
    except node_answers.AnswerError as error:
        return {"problem": f"its answer cannot be used: {error}"}


def sync_problem(answer: Any) -> str:
    """Return why the command of a task failed on a node or did nothing, empty where neither.

    Takes what a task has registered that ran `airflow-dag-sync`.
    """
    if not isinstance(answer, Mapping) or not answer:
        return "it was not asked"
    said = [answer.get(key) for key in ("stderr", "stdout", "msg")]
    reason = next((node_answers.shown(text) for text in said if text), "")
    if answer.get("unreachable"):
        return f"unreachable: {node_answers.shown(answer.get('msg') or '')}"
    if answer.get("rc") != 0 or reason.startswith("busy"):
        return reason or "it gave no reason"
    return ""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"sync_problem": sync_problem, "sync_status": sync_status}
