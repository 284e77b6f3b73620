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
# The component of what is wrong with a host as a whole, and the kinds that make all else unknown.
NODE = "node"
AWAY = ("unreachable", "unanswered", "unasked", "missing")
# While these are down, others do not answer, which goes without saying.
SERVICES = ("broker", "metadatabase", "postgresql", "redis")
DOWN = ("inactive", "silent")


def note(
    state: State, problems: Mapping[Where, list[str]], unknown: Collection[Where], now: int
) -> None:
    """Note what a look has seen; it could not see whether what is `unknown` is still there."""
    for where, sentences in problems.items():
        sighting = state.sightings.setdefault(where, Sighting(sentences, now))
        # A clock that was put back would make a problem wait for ever.
        sighting.since = min(sighting.since, now)
        sighting.problems, sighting.gone = sentences, 0
        sighting.looks += 1
    for where, sighting in list(state.sightings.items()):
        if where not in problems and where not in unknown:
            sighting.gone += 1
            if sighting.gone >= MIN_LOOKS_GONE:
                del state.sightings[where]


def open_due(state: State, explained: Collection[str], now: int) -> None:
    """Give each problem that has lasted for long enough its incident.

    `explained` are kinds of which somebody has been told otherwise.
    """
    due: defaultdict[tuple[str, ...], list[Where]] = defaultdict(list)
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
            due[_group(where)].append(where)
    for group, places in due.items():
        shared = "/".join(("all", *group))
        key = shared if patience(places[0].kind).is_shared else "/".join(min(places))
        for where in places:
            state.sightings[where].incident = key
        state.incidents.setdefault(key, NONE)


def _group(where: Where) -> tuple[str, ...]:
    """Return what problems that become due at one look have in common if they are one incident."""
    allowed = patience(where.kind)
    if allowed.is_shared or allowed.is_of_many:
        return (where.kind,)
    return (where.component, where.kind)


def forget_untold(state: State) -> None:
    """Forget the incidents that are over and that nobody was told of."""
    for key, known in list(state.incidents.items()):
        if known == NONE and not members(state, key):
            del state.incidents[key]


def is_consequence(where: Where, seen: Collection[Where]) -> bool:
    """Whether another problem that is there explains this one."""
    if where.component == NODE:
        return False
    if any(is_away(other) and other.host == where.host for other in seen):
        return True
    return (
        where.kind == "silent"
        and where.component not in SERVICES
        and any(other.component in SERVICES and other.kind in DOWN for other in seen)
    )


def is_away(where: Where) -> bool:
    """Whether a problem is that nobody knows how its host is."""
    return where.component == NODE and where.kind in AWAY


def members(state: State, key: str) -> dict[Where, Sighting]:
    """Return the problems of an incident."""
    return {
        where: sighting for where, sighting in state.sightings.items() if sighting.incident == key
    }
