# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of an incident of the cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from caspian_control.documents import timestamp
from caspian_control.health_report import Where
from caspian_control.pagerduty import MAX_SUMMARY_CHARACTERS
from caspian_control.patience import patience
from caspian_control.text import first, listed, one_line
from caspian_control.watch_state import Sighting


def event(problems: Mapping[Where, Sighting], source: str) -> dict[str, Any]:
    """Return the event of an incident with these problems, all of one kind."""
    kind = next(iter(problems)).kind
    components = listed(dict.fromkeys(sorted({where.component for where in problems}), ""))
    hosts = sorted({where.host for where in problems})
    sentences = list(dict.fromkeys(one for found in problems.values() for one in found.problems))
    of = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts ({listed(dict.fromkeys(hosts, ''))})"
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    ending = f'{more}. See "sudo rax status" there.'
    text = f"Airflow {environment_name()}: {components} of {of}: {sentences[0]}"
    return {
        "summary": one_line(text, MAX_SUMMARY_CHARACTERS - len(ending)) + ending,
        "severity": patience(kind).severity,
        "source": hosts[0] if len(hosts) == 1 else source,
        "details": {
            "kind": kind,
            "problems": first(
                {
                    f"{where.host}: {where.component}": "; ".join(found.problems)
                    for where, found in problems.items()
                }
            ),
            "seen_since": timestamp(min(found.since for found in problems.values())),
            "seen_by": f"caspian-watch on {source}",
            "look": "playbooks/health.yml on the controller shows everything that is wrong",
            "end": "resolved by itself when two looks in a row have not seen it",
        },
    }


def environment_name() -> str:
    """Return what the cluster is called in alerts."""
    return os.environ.get("RAX_ENVIRONMENT") or "default"
