# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes say of their DAGs, and the report on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers

# What the role's tasks register of each node: its status, and how it fetched a release.
STATUS, FETCHED = "__dag_sync_status", "__dag_sync_fetched"


def sync_problem(answer: Any) -> str:
    """Return why `airflow-dag-sync` failed on a node or did nothing, and else nothing.

    Takes what the task has registered.
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


def sync_status(answer: Any) -> dict[str, Any]:
    """Return the status of a node, and as `problem` why there is none.

    Takes what the task has registered that ran `airflow-dag-sync status`. Whatever a node answers
    is a problem of this node and not of the report.
    """
    if problem := sync_problem(answer):
        return {"problem": problem}
    try:
        return {"problem": "", **node_answers.sync_status(answer.get("stdout"))}
    except node_answers.AnswerError as error:
        return {"problem": f"its answer cannot be used: {error}"}


def sync_report(
    hostvars: Mapping[str, Mapping[str, Any]], hosts: Sequence[str]
) -> dict[str, list[str]]:
    """Return the report on these hosts.

    nodes: what each has published, a line each
    silent: those that do not answer, and why
    lacking: those that could not fetch the release of a rollback, and why
    previous: the releases that they can go back to, each once; one if all agree
    choices: what each had published before, a line each
    """
    report: dict[str, list[str]] = {
        "nodes": [], "silent": [], "lacking": [], "previous": [], "choices": []
    }  # fmt: skip
    for host in hosts:
        answer = hostvars[host].get(STATUS) or {}
        status = sync_status(answer)
        report["nodes"].append(f"{host}: {_state(answer, status)}")
        if status["problem"]:
            asked = "" if _is_unreachable(answer) else "airflow-dag-sync status: "
            report["silent"].append(f"{host}: {asked}{status['problem']}")
        if problem := sync_problem(hostvars[host].get(FETCHED)):
            report["lacking"].append(f"{host}: {problem}")
        report["choices"].append(f"{host}: {_choice(status)}")
        # A pinned node is where a rollback has brought it: there is no going back from there.
        previous = "" if status.get("pinned") else status.get("previous") or ""
        if previous not in report["previous"]:
            report["previous"].append(previous)
    return report


def _is_unreachable(answer: Any) -> bool:
    return isinstance(answer, Mapping) and bool(answer.get("unreachable"))


def _state(answer: Any, status: Mapping[str, Any]) -> str:
    """Return what a node has published and what is wrong with it."""
    if status["problem"]:
        return "unreachable" if _is_unreachable(answer) else "no status"
    parts = [
        f"published {status['published']} since {status['published_since']}"
        if status["published"]
        else "nothing published"
    ]
    if status["pinned"]:
        parts.append("pinned")
    age, blocked, error = status["age_seconds"], status["blocked"], status["error"]
    parts.append("no success yet" if age is None else f"last success {age} s ago")
    if blocked:
        parts.append(f"blocked {blocked['sha']} ({blocked['reason']})")
    if error and not error.startswith("blocked "):
        parts.append(f"failing since {status['error_since']} ({error})")
    return ", ".join(parts)


def _choice(status: Mapping[str, Any]) -> str:
    """Return what a person needs to know of a node to name the release of a rollback."""
    previous, published = (status.get(key) or "none" for key in ("previous", "published"))
    pinned = ", pinned" if status.get("pinned") else ""
    return f"previous {previous}, published {published}{pinned}"
