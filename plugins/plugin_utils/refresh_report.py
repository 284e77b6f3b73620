# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a refresh on all hosts. Pure functions."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers


def report(hosts: Mapping[str, Any], places: Iterable[str], *, vault: str) -> dict[str, Any]:
    """Return what became of a refresh, from the variables of all hosts; it holds no value.

    `places` are the hosts of the play.
    """
    result: dict[str, Any] = {
        "version": 1,
        "started_at": None,
        "ended_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "vault": vault,
        "vault_copy_of": None,
        "vault_error": None,
        "problems": {},
        "warnings": {},
        "hosts": {},
    }
    for host in places:
        fetched = _registered(hosts[host], "__credentials_fetched")
        delivered = _registered(hosts[host], "__credentials_delivered")
        result["started_at"] = result["started_at"] or fetched.get("started_at")
        result["vault_copy_of"] = result["vault_copy_of"] or fetched.get("vault_copy_of")
        result["warnings"] |= fetched.get("records_warned_of") or {}
        if fetched.get("failed"):
            result["vault_error"] = _reason(fetched) or "it gave no reason"
        result["problems"] |= _problems(delivered)
        result["hosts"][host] = _outcome(delivered)
    return result


def _registered(variables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = variables.get(name)
    return value if isinstance(value, Mapping) else {}


def _reason(result: Mapping[str, Any]) -> str:
    return node_answers.shown(result.get("msg") or "")


def _problems(delivered: Mapping[str, Any]) -> dict[str, str]:
    """Return why sources were not fetched, which is the controller's word and no node's."""
    problems = delivered.get("problems")
    if not isinstance(problems, Mapping):
        return {}
    return {
        node_answers.shown(name): node_answers.shown(reason) for name, reason in problems.items()
    }


def _outcome(delivered: Mapping[str, Any]) -> dict[str, Any]:
    if not delivered or delivered.get("skipped"):
        return _host("not_reached")
    if delivered.get("unreachable"):
        return _host("unreachable", _reason(delivered))
    try:
        told = node_answers.delivered(delivered)
    except node_answers.AnswerError as error:
        return _host("failed", f"its answer cannot be used: {error}")
    summary = told.pop("summary", None)
    failure = _reason(delivered) if delivered.get("failed") else None
    if summary is None:
        return _host("failed", failure or "it did not say what it has")
    return {"state": "delivered", "error": failure, "summary": summary, "changes": told}


def _host(state: str, error: str | None = None) -> dict[str, Any]:
    return {"state": state, "error": error, "summary": None, "changes": {}}
