# SPDX-License-Identifier: Apache-2.0
"""Alerts through PagerDuty: one key opens an incident, and the same key closes it.

>>> from rax.alerting import dedup_key, resolve, trigger
>>> outcome = trigger(
...     "EBI load: no file since Monday",
...     severity="error",
...     details={"folder": "/data/ebi"},
...     dedup_key=dedup_key("ebi_load"),
... )
>>> outcome.state  # this node has no routing key
'off'
>>> outcome = resolve(dedup_key("ebi_load"))

Neither raises an error, whatever it is given and whatever fails, and neither takes longer than its
``limit``: they are called where something is wrong already. What has become of an alert is in the
``Outcome`` and in the log ``rax.alerting``. Only what the handler of a signal raises meanwhile,
such as ``KeyboardInterrupt`` and Airflow's time-out of a task, passes through. Under asyncio, call
them by ``asyncio.to_thread``.

A ``dedup_key`` stands for what is wrong, not for a run: while its incident is open, another
trigger adds to it. ``dedup_key("ebi_load")`` is the one that all alerts of a workflow share in the
environment that ``RAX_ENVIRONMENT`` names.

An event goes to this node's disk first, in a folder that only this account can read, and from
there to PagerDuty, in order. What cannot be sent is sent by the next alert, or by ``flush()``,
which cron runs on every node. Nothing is sent twice, unless a process is killed, or the power
fails, between PagerDuty's answer and the removal of the file: then the event comes again, before
any later one, and adds to the same incident. What PagerDuty refuses is put aside into ``refused/``
in the spool, with its reasons; a file that is put back is sent again. The spool holds 1,000 events
and 64 MiB; beyond that it drops first what a later event of the same key has overtaken.

The routing key is the password of the credential ``PAGERDUTY``, or of the one that
``RAX_ALERTING_CREDENTIAL`` names; its user and host may be anything. Where there is neither,
alerts are only logged. Events go to the first of

1. ``RAX_ALERTING_URL``
2. the credential's ``metadata["events_url"]``
3. its ``url``, unless that is the web address of an account, such as https://acme.pagerduty.com
4. https://events.pagerduty.com

always over https; ``SSL_CERT_FILE`` and ``HTTPS_PROXY`` are followed. ``RAX_ALERTING_SPOOL`` names
another folder for the spool than ``~/.local/state/rax/alerts``, which ``XDG_STATE_HOME`` moves.
``RAX_ALERTING_CAPTURE`` names a folder that gets the events in place of PagerDuty, each as a file:
what would have been sent is there, exactly, and no routing key is asked for. ``rax run`` shows it.
What PagerDuty doesn't accept is shortened, and passwords of five characters and more of this
node's credentials are masked, wherever they occur in an event, but for the key that
``dedup_key()`` returns: it must be the same on all nodes.
"""

from collections.abc import Mapping
from typing import Literal

from rax.alerting import _direct, _events
from rax.alerting._alert import Alert
from rax.alerting._deadline import DEFAULT_LIMIT_SECONDS
from rax.alerting._events import Severity
from rax.alerting._flush import Flush
from rax.alerting._outcomes import Flushed, Outcome, State
from rax.alerting._records import Spooled
from rax.alerting._spool import Spool

__all__ = [
    "Flushed",
    "Outcome",
    "Severity",
    "Spooled",
    "State",
    "dedup_key",
    "deliver",
    "dropped",
    "flush",
    "pending",
    "refused",
    "resolve",
    "trigger",
]


def dedup_key(workflow: str) -> str:
    """Return the key that all alerts of a workflow share in this environment.

    >>> dedup_key("ebi_load")
    'default/ebi_load'
    """
    return _events.key_of_workflow(workflow)


def trigger(
    summary: str,
    severity: Severity = "error",
    source: str | None = None,
    details: Mapping[str, object] | None = None,
    dedup_key: str | None = None,
    *,
    component: str | None = None,
    group: str | None = None,
    class_: str | None = None,
    links: Mapping[str, str] | None = None,
    limit: float = DEFAULT_LIMIT_SECONDS,
) -> Outcome:
    """Open the incident of that key, or add to it; return what has become of the alert.

    ``source`` is by default this host's name. ``dedup_key`` is by default the workflow's whose
    task this is; outside of Airflow, equal alerts of a host share one. ``details`` may hold
    anything. ``links`` are https addresses by their text. ``limit`` is in seconds, 0.1 to 3600;
    with 0 the alert is only spooled, for the next alert or flush to send.

    What PagerDuty would refuse is mended: the log and the alert's details say what. Nothing is
    raised but what the handler of a signal raises meanwhile.
    """
    words = {"component": component, "group": group, "class": class_}
    alert = Alert(
        lambda: _events.trigger_event(
            summary, severity, source, details, dedup_key, links=links, words=words
        )
    )
    return alert.outcome(limit)


def resolve(dedup_key: str, *, limit: float = DEFAULT_LIMIT_SECONDS) -> Outcome:
    """Close the incident of that key; nothing happens where none is open.

    Without a key there is nothing to close: the outcome is ``refused``.
    """
    return Alert(lambda: (_events.resolve_event(dedup_key), [])).outcome(limit)


def deliver(
    action: Literal["trigger", "resolve"],
    dedup_key: str,
    *,
    summary: str = "",
    severity: Severity = "error",
    source: str | None = None,
    details: Mapping[str, object] | None = None,
    limit: float = DEFAULT_LIMIT_SECONDS,
) -> None:
    """Send an event now and past the spool, for a caller that keeps unsent events itself.

    >>> deliver("trigger", "production/ebi_load", summary="no new file", severity="fatal")
    Traceback (most recent call last):
        ...
    rax.errors.AlertError: the severity of an alert is one of critical, error, warning, info, \
not 'fatal'

    An ``AlertError`` says why it was not sent within ``limit`` seconds. Nothing is mended.
    """
    _direct.deliver(action, dedup_key, summary, severity, source, details, limit)


def flush(*, limit: float = DEFAULT_LIMIT_SECONDS) -> Flushed:
    """Send what is spooled, in order, within ``limit`` seconds; return what came of it.

    An ``AlertError`` says that the spool cannot be used. Where PagerDuty cannot be reached,
    ``pending`` and ``problem`` of what is returned say so.
    """
    return Flush().result(limit)


def pending() -> list[Spooled]:
    """Return what is spooled, oldest first, each with the problem that it met last.

    Root may look at the spool of another account, too. An ``AlertError`` says that it cannot be
    read; a spool that isn't there is empty.
    """
    try:
        with Spool(make=False, to_look=True) as spool:
            return spool.pending()
    except FileNotFoundError:
        return []


def refused() -> list[Spooled]:
    """Return what was put aside, oldest first: what PagerDuty refused, and damaged files.

    These are the last 100. Removing the files in ``refused/`` forgets them. Errors as of
    ``pending()``.
    """
    try:
        with Spool(make=False, to_look=True) as spool:
            return spool.refused()
    except FileNotFoundError:
        return []


def dropped() -> int:
    """Return how many events the spool had no room for, since the file ``dropped`` was removed.

    Errors as of ``pending()``.
    """
    try:
        with Spool(make=False, to_look=True) as spool:
            return spool.dropped()
    except FileNotFoundError:
        return 0
