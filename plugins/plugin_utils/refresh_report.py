# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a refresh on all hosts. Pure functions."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any


def report(hosts: Mapping[str, Any], places: Iterable[str], *, vault: str) -> dict[str, Any]:
    """Return what became of a refresh, from the variables of all hosts; it holds no value.

    `places` are the hosts of the play.
    """
    result: dict[str, Any] = {
        "version": 1,
        "started_at": None,
        "ended_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "vault": vault,
        "vault_error": None,
        "problems": {},
        "hosts": {},
    }
    for host in places:
        fetched = hosts[host].get("__credentials_fetched") or {}
        delivered = hosts[host].get("__credentials_delivered") or {}
        result["started_at"] = result["started_at"] or fetched.get("started_at")
        if fetched.get("failed"):
            result["vault_error"] = fetched.get("msg") or "it gave no reason"
        problems = delivered.get("problems") or {}
        result["problems"] |= problems
        result["hosts"][host] = _outcome(delivered, published="summary" in delivered)
    return result


def changes(published: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names in what the module credential_files returns, by kind of change."""
    kinds = ("added", "updated", "repaired", "removed", "kept", "layout", "notified")
    return {kind: list(published[kind]) for kind in kinds if published.get(kind)}


def _outcome(delivered: Mapping[str, Any], *, published: bool) -> dict[str, Any]:
    if not delivered or delivered.get("skipped"):
        state = "not_reached"
    elif delivered.get("unreachable"):
        state = "unreachable"
    else:
        state = "delivered" if published else "failed"
    wrong = delivered.get("failed") or state == "unreachable"
    return {
        "state": state,
        "error": delivered.get("msg") if wrong else None,
        "summary": delivered.get("summary") if published else None,
        "changes": changes(delivered) if published else {},
    }
