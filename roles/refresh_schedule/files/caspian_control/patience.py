# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a problem of each kind has to last before it is somebody's incident, and why."""

from __future__ import annotations

from typing import NamedTuple

MINUTES = 60
HOURS = 60 * MINUTES


class Patience(NamedTuple):
    """What makes an incident of a problem.

    It has been seen at so many looks, and the first was so many seconds ago. What becomes due at
    one look is one incident, if it is of the same component and kind, or of the same kind alone
    where that `is_of_many`. Where a kind `is_shared`, its cause is outside of the hosts that have
    it: what is noticed later belongs to the incident that is open.
    """

    looks: int
    seconds: int
    severity: str
    is_of_many: bool = False
    is_shared: bool = False


# A second look tells what stays from a restart, of which a deployment makes some.
SECOND_LOOK = Patience(2, 0, "error")
AT_ONCE = Patience(1, 0, "error")

PATIENCE = {
    # A host or a component is away, or does not say how it is.
    "unreachable": SECOND_LOOK,
    "unanswered": SECOND_LOOK,
    "inactive": SECOND_LOOK,
    "silent": SECOND_LOOK,
    "restarting": SECOND_LOOK,
    # The node itself has looked for as long as it takes before it takes no more tasks.
    "worker-paused": AT_ONCE,
    # It grows slowly, and its limit leaves time for one look, not for waiting.
    "disk": AT_ONCE,
    # Each node fetches within a minute. A helper that is broken breaks many files at once.
    "import-error": Patience(2, 0, "warning", is_of_many=True),
    # The author sees it too, and the nodes stay on the last good commit; the ref is everybody's.
    "commit-blocked": Patience(2, 10 * MINUTES, "warning", is_shared=True),
    # It is told when it has lasted for as long as a rollback may.
    "sync-pinned": Patience(2, 0, "warning", is_shared=True),
    # A worker that fetches a big release, or repairs one, is behind for minutes.
    "sync-lagging": Patience(2, 30 * MINUTES, "warning"),
    # Servers are restarted, and the nodes go on with what they have.
    "sync-server": Patience(2, 15 * MINUTES, "warning", is_shared=True),
    # The refresh alerts by itself when a run fails. This is for one that does not run at all.
    "refresh": Patience(2, 30 * MINUTES, "error"),
    # It has lasted for as long as is allowed already, and the vault is everybody's.
    "credentials-stale": Patience(1, 0, "error", is_shared=True),
    # A record that is being renamed in the vault is away for a while, and the last file serves.
    "credentials-kept": Patience(2, 30 * MINUTES, "warning", is_shared=True),
    # PagerDuty is away for minutes now and then, and this could not be sent either.
    "alerts-kept": Patience(2, 30 * MINUTES, "warning"),
    # A deployment that goes from node to node makes them differ while it lasts.
    "versions": Patience(2, 2 * HOURS, "warning", is_shared=True),
    # It says how the last run ended, hours ago, and so does not change from look to look.
    "maintenance": Patience(1, 0, "warning"),
    # A deployment may exchange the collection while the watch runs from it.
    "watch-failed": SECOND_LOOK,
    "too-many": AT_ONCE,
}


def patience(kind: str) -> Patience:
    """Return how long a problem of this kind may last; one that is not known, to a second look."""
    return PATIENCE.get(kind, SECOND_LOOK)
