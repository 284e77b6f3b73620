# SPDX-License-Identifier: Apache-2.0
"""What an event may hold: all that is given, without secrets, as short as PagerDuty takes it."""

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from rax._printable import one_line, printable
from rax.alerting import _plain
from rax.alerting._plain import LONGEST_TEXT, Plain, as_json, cut, cut_text, text_of
from rax.alerting._secrets import hide
from rax.errors import AlertError

Severity = Literal["critical", "error", "warning", "info"]
Event = dict[str, Any]


class PublicKey(str):
    """A key of a workflow and an environment, which are no secrets, whatever the passwords are."""

    __slots__ = ()


# PagerDuty's limits. That of the body is 512 KB, whichever KB that is, routing key included.
_SUMMARY = 1024
_WORD = 1024
_DEDUP_KEY = 255
_BODY = 500_000
# Ours: links, whose addresses can't be cut, and the length of one.
_LINKS = 10
_ADDRESS = 500
_LINK_TEXT = 100


def trigger_event(
    summary: object,
    severity: object,
    source: object,
    details: object,
    dedup_key: object,
    *,
    links: object = None,
    words: Mapping[str, object] | None = None,
) -> tuple[Event, list[str]]:
    """Return the event that comes nearest to what is given, and what had to be mended for it.

    The words are PagerDuty's component, group and class.
    """
    mended = []
    texts: dict[str, Any] = {
        "summary": _unless_blank(summary),
        "source": _unless_blank(source) if source is not None else os.uname().nodename,
    }
    if not texts["summary"]:
        mended.append("it has no summary")
        texts["summary"] = "an alert without a summary"
    if not texts["source"]:
        mended.append("it has no source")
        texts["source"] = os.uname().nodename
    if not (isinstance(severity, str) and severity in get_args(Severity)):
        # Its quotes come after the masking: a secret that is quoted twice is not found.
        mended.append(wrong_severity(hide(Plain()(severity))))
        severity = "error"
    key = _given_key(dedup_key)
    if dedup_key is not None and not key:
        mended.append("it has no dedup_key")
    key = key or _key_of_its_own(texts)
    for name, word in (words or {}).items():
        if word is not None and (text := _unless_blank(word)):
            texts[name] = text
    plain = Plain()
    given = {} if details is None else plain(details)
    if not isinstance(given, dict):
        mended.append("its details are no mapping")
        given = {"details": given}
    linked, others = _links(plain({} if links is None else links))
    if others:
        mended.append("some links are no https:// addresses")
        given = {"links": others, **given}
    if mended:
        given = {"mended": list(mended), **given}
    texts |= {"links": linked, "custom_details": given}
    # Not its names, which may be words that are passwords, too.
    hidden, mended, hidden_key = hide([list(texts.values()), mended, key])
    texts = {
        name: one_line(text) if isinstance(text, str) else _plain.shown(text)
        for name, text in zip(texts, hidden, strict=True)
    }
    mended = [one_line(what) for what in mended]
    key = key if isinstance(key, PublicKey) else hidden_key
    event: Event = {"event_action": "trigger", "dedup_key": _short_key(key)}
    if linked := texts.pop("links"):
        event["links"] = [
            {"href": href, "text": one_line(text, _LINK_TEXT)} for text, href in linked.items()
        ]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    event["payload"] = _fit({**texts, "severity": severity, "timestamp": now})
    return event, mended


def resolve_event(dedup_key: object) -> Event:
    """Return the event; without a key it would be none, which is an AlertError."""
    key = _given_key(dedup_key)
    if not key:
        raise AlertError("an alert needs a dedup_key")
    key = key if isinstance(key, PublicKey) else hide(key)
    return {"event_action": "resolve", "dedup_key": _short_key(key)}


def wrong_severity(severity: object) -> str:
    """Say which there are."""
    return (
        f"the severity of an alert is one of {', '.join(get_args(Severity))}, not"
        f" {cut_text(repr(severity), 100)}"
    )


def key_of_workflow(workflow: str) -> PublicKey:
    """Return the key that all of a workflow's alerts share in one environment."""
    return PublicKey(f"{os.environ.get('RAX_ENVIRONMENT') or 'default'}/{workflow}")


def shown(event: Event) -> str:
    """Return a line for a log."""
    summary = event.get("payload", {}).get("summary", "")
    text = f"{event['event_action']} of {event['dedup_key']!r}{f': {summary}' if summary else ''}"
    return one_line(text, 300)


def _given_key(value: object) -> str:
    """Return what is given as a key, a PublicKey as such; nothing where it is blank."""
    key = "" if value is None else _unless_blank(value)
    # By its type, since objects may lie about what they are.
    return PublicKey(key) if type(value) is PublicKey else key


def _key_of_its_own(texts: Mapping[str, str]) -> str:
    """Return the workflow's in a task of Airflow; elsewhere equal alerts of a host share one."""
    if workflow := os.environ.get("AIRFLOW_CTX_DAG_ID"):
        return key_of_workflow(workflow)
    # These are texts of an author.
    return str(key_of_workflow(f"{texts['source']}/{texts['summary']}"))


def _links(links: object) -> tuple[dict[str, str], object]:
    """Return the links that PagerDuty takes, and what is left."""
    if not isinstance(links, dict):
        return {}, links
    good = {
        text: href
        for text, href in links.items()
        if isinstance(href, str)
        and re.fullmatch(r"https://[!-~]+", href)
        and len(href) <= _ADDRESS
        and text.strip()
    }
    good = dict(list(good.items())[:_LINKS])
    return good, {text: href for text, href in links.items() if href not in good.values()}


def _unless_blank(value: object) -> str:
    text = text_of(value)
    return text if text.strip() else ""


def _fit(payload: dict[str, Any]) -> dict[str, Any]:
    """Shorten what is too long, and the details as far as it takes."""
    details, width = payload.pop("custom_details"), LONGEST_TEXT
    payload = {
        name: cut_text(text, _SUMMARY if name == "summary" else _WORD)
        for name, text in payload.items()
    }
    payload["custom_details"] = cut(details, width)
    while len(as_json(payload).encode()) > _BODY:
        width //= 2
        payload["custom_details"] = cut(details, width)
    return payload


def _short_key(key: str) -> str:
    """Return a key that PagerDuty takes; long ones that differ stay different."""
    # Blanks count: keys that differ are of different incidents.
    key = printable(key)
    if len(key) <= _DEDUP_KEY:
        return key
    return f"{key[: _DEDUP_KEY - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
