# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which problems are whose incident. Nothing here asks anybody.

A problem is noted when it is seen, becomes an incident when it has lasted for as long as its kind
may (`patience`), and is forgotten when it has not been seen at two looks in a row; an incident ends
with its last problem. What is the consequence of another problem makes no incident of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from caspian_control.health_report import Where
from caspian_control.pagerduty import NONE
from caspian_control.patience import patience
from caspian_control.watch_state import Sighting, State

# One look without it may be one that came at the wrong moment: a crash loop is active now and then.
MIN_LOOKS_GONE = 2
# In the place of a host's name in a key. Ansible lets no host be called so.
SEVERAL = "all"
# While these are down, others do not answer, which goes without saying.
SERVICES = ("broker", "metadata-db")
DOWN = ("inactive", "silent")


def note(
    state: State, problems: Mapping[Where, list[str]], unseen: Collection[str], now: int
) -> None:
    """Note what a look has seen; `unseen` are the hosts that it could not see into."""
    for where, sentences in problems.items():
        sighting = state.sightings.setdefault(where, Sighting(sentences, now))
        # A clock that was put back would make a problem wait for ever.
        sighting.since = min(sighting.since, now)
        sighting.problems, sighting.gone = sentences, 0
        sighting.looks += 1
    for where, sighting in list(state.sightings.items()):
        if where not in problems and where.host not in unseen:
            sighting.gone += 1
            if sighting.gone >= MIN_LOOKS_GONE:
                del state.sightings[where]


def open_due(state: State, explained: Collection[str], now: int) -> None:
    """Give each problem that has lasted for long enough its incident.

    `explained` are kinds of which somebody has been told otherwise.
    """
    due: defaultdict[tuple[str, str], list[Where]] = defaultdict(list)
    for where, sighting in state.sightings.items():
        allowed = patience(where.kind)
        if (
            not sighting.incident
            and not sighting.gone
            and sighting.looks >= allowed.looks
            and now - sighting.since >= allowed.seconds
            and where.kind not in explained
            and not is_consequence(where, state.sightings)
        ):
            due[where.component, where.kind].append(where)
    for (component, kind), places in due.items():
        common = f"{SEVERAL}/{component}/{kind}"
        is_common = patience(kind).is_shared or len(places) > 1 or common in state.incidents
        for where in places:
            key = common if is_common else "/".join(where)
            state.sightings[where].incident = key
            state.incidents.setdefault(key, NONE)


def forget_untold(state: State) -> None:
    """Forget the incidents that are over and that nobody was told of."""
    for key, known in list(state.incidents.items()):
        if known == NONE and not members(state, key):
            del state.incidents[key]


def is_consequence(where: Where, seen: Collection[Where]) -> bool:
    """Whether another problem that is there explains this one."""
    if where.kind == "unreachable":
        return False
    if any(other.kind == "unreachable" and other.host == where.host for other in seen):
        return True
    return (
        where.kind == "silent"
        and where.component not in SERVICES
        and any(other.component in SERVICES and other.kind in DOWN for other in seen)
    )


def members(state: State, key: str) -> dict[Where, Sighting]:
    """Return the problems of an incident."""
    return {
        where: sighting for where, sighting in state.sightings.items() if sighting.incident == key
    }
