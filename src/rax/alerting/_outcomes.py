# SPDX-License-Identifier: Apache-2.0
"""What a call of rax.alerting returns."""

from typing import Literal, NamedTuple

State = Literal["sent", "spooled", "refused", "lost", "off"]


class Outcome(NamedTuple):
    """What has become of an alert: its state, and the problem where it was not sent.

    - ``sent``: PagerDuty has taken it
    - ``spooled``: it is on this node's disk, and will be sent by the next alert or flush
    - ``refused``: PagerDuty will not take it, or nobody can tell which incident it is about
    - ``lost``: it could be neither sent nor spooled; what can be known of it is in the log
    - ``off``: alerting is not set up on this node
    """

    state: State
    problem: str = ""


class Flushed(NamedTuple):
    """What a flush has done: events sent, refused and still spooled, and what went wrong."""

    sent: int
    refused: int
    pending: int
    problem: str
