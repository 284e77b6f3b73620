# SPDX-License-Identifier: Apache-2.0
"""What an event holds: all that is given, without secrets, as short as PagerDuty takes it."""

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from rax._printable import one_line, printable
from rax.alerting._plain import (
    MAX_TEXT_CHARACTERS,
    Plain,
    as_json,
    cut,
    cut_text,
    text_of,
    without_controls,
)
from rax.alerting._secrets import hide
from rax.errors import AlertError

Severity = Literal["critical", "error", "warning", "info"]
Event = dict[str, Any]


class PublicKey(str):
    """A key made of an environment and a workflow: never masked, whatever the passwords are."""

    __slots__ = ()


# PagerDuty's limits. That of the body is 512 KB, routing key included, whatever a KB is there.
_MAX_SUMMARY_CHARACTERS = 1024
_MAX_WORD_CHARACTERS = 1024
_MAX_KEY_CHARACTERS = 255
_MAX_BODY_BYTES = 500_000
# Ours. The address of a link cannot be cut.
_MAX_LINKS = 10
_MAX_ADDRESS_CHARACTERS = 500
_MAX_LINK_TEXT_CHARACTERS = 100


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
    mended: list[str] = []
    texts = _summary_and_source(summary, source, mended)
    if not (isinstance(severity, str) and severity in get_args(Severity)):
        # Masked before it is quoted, since a secret that is quoted twice would not be found.
        mended.append(wrong_severity(hide(Plain()(severity))))
        severity = "error"
    key = _given_key(dedup_key)
    if dedup_key is not None and not key:
        mended.append("it has no dedup_key")
    key = key or _default_key(texts)
    for name, word in (words or {}).items():
        if word is not None and (text := _text_unless_blank(word)):
            texts[name] = text
    https_links, custom_details = _links_and_details(links, details, mended)
    return _masked_event(texts, severity, key, https_links, custom_details, mended)


def resolve_event(dedup_key: object) -> Event:
    """Return the event; an AlertError says that there is no key."""
    key = _given_key(dedup_key)
    if not key:
        raise AlertError("an alert needs a dedup_key")
    key = key if isinstance(key, PublicKey) else hide(key)
    return {"event_action": "resolve", "dedup_key": _shorten_key(key)}


def wrong_severity(severity: object) -> str:
    """Return the message about a severity that PagerDuty does not have."""
    return (
        f"the severity of an alert is one of {', '.join(get_args(Severity))}, not"
        f" {cut_text(repr(severity), 100)}"
    )


def key_of_workflow(workflow: str) -> PublicKey:
    """Return the key that all of a workflow's alerts share in one environment."""
    return PublicKey(f"{os.environ.get('RAX_ENVIRONMENT') or 'default'}/{workflow}")


def describe(event: Event) -> str:
    """Return a line for a log."""
    summary = event.get("payload", {}).get("summary", "")
    text = f"{event['event_action']} of {event['dedup_key']!r}{f': {summary}' if summary else ''}"
    return one_line(text, 300)


def _summary_and_source(summary: object, source: object, mended: list[str]) -> dict[str, str]:
    """Return both as they are given; note in ``mended`` which of them was made up."""
    host = os.uname().nodename
    texts = {
        "summary": _text_unless_blank(summary),
        "source": _text_unless_blank(source) if source is not None else host,
    }
    if not texts["summary"]:
        mended.append("it has no summary")
        texts["summary"] = "an alert without a summary"
    if not texts["source"]:
        mended.append("it has no source")
        texts["source"] = host
    return texts


def _links_and_details(
    links: object, details: object, mended: list[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return links that PagerDuty takes, and details, which also tell all that was mended."""
    plain = Plain()
    given = {} if details is None else plain(details)
    if not isinstance(given, dict):
        mended.append("its details are no mapping")
        given = {"details": given}
    https_links, other_links = _split_links(plain({} if links is None else links))
    if other_links:
        mended.append("some links are no https:// addresses")
        given = {"links": other_links, **given}
    if mended:
        given = {"mended": list(mended), **given}
    return https_links, given


def _masked_event(
    texts: dict[str, str],
    severity: str,
    key: str,
    links: dict[str, str],
    details: dict[str, Any],
    mended: list[str],
) -> tuple[Event, list[str]]:
    """Return the event and what was mended without secrets, and as short as PagerDuty takes it."""
    # The names of the fields are left out: they may be words that are passwords, too.
    hidden, mended, hidden_key = hide([[*texts.values(), links, details], mended, key])
    *hidden_texts, links, details = hidden
    payload: dict[str, Any] = {
        name: one_line(text) for name, text in zip(texts, hidden_texts, strict=True)
    }
    payload |= {"severity": severity, "timestamp": _now()}
    key = key if isinstance(key, PublicKey) else hidden_key
    event: Event = {"event_action": "trigger", "dedup_key": _shorten_key(key)}
    if links := without_controls(links):
        event["links"] = [
            {"href": href, "text": one_line(text, _MAX_LINK_TEXT_CHARACTERS)}
            for text, href in links.items()
        ]
    event["payload"] = _shorten(payload, without_controls(details))
    return event, [one_line(what) for what in mended]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _given_key(value: object) -> str:
    """Return the text of a key, a PublicKey as such; nothing where it is blank."""
    key = "" if value is None else _text_unless_blank(value)
    # Not by isinstance, to which an object may lie.
    kind = type(value)
    return PublicKey(key) if kind is PublicKey else key


def _default_key(texts: Mapping[str, str]) -> str:
    """Return the key of the workflow in a task of Airflow, else one that equal alerts share."""
    if workflow := os.environ.get("AIRFLOW_CTX_DAG_ID"):
        return key_of_workflow(workflow)
    # As a str, to be masked: summary and source may hold anything.
    return str(key_of_workflow(f"{texts['source']}/{texts['summary']}"))


def _split_links(links: object) -> tuple[dict[str, str], object]:
    """Return the links that PagerDuty takes, and the others."""
    if not isinstance(links, dict):
        return {}, links
    good = {
        text: href
        for text, href in links.items()
        if isinstance(href, str)
        and re.fullmatch(r"https://[!-~]+", href)
        and len(href) <= _MAX_ADDRESS_CHARACTERS
        and text.strip()
    }
    good = dict(list(good.items())[:_MAX_LINKS])
    return good, {text: href for text, href in links.items() if href not in good.values()}


def _text_unless_blank(value: object) -> str:
    text = text_of(value)
    return text if text.strip() else ""


def _shorten(payload: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """Return the payload with the details, each text cut, and the details as far as it takes."""
    payload = {
        name: cut_text(text, _MAX_SUMMARY_CHARACTERS if name == "summary" else _MAX_WORD_CHARACTERS)
        for name, text in payload.items()
    }
    width = MAX_TEXT_CHARACTERS
    payload["custom_details"] = cut(details, width)
    while len(as_json(payload).encode()) > _MAX_BODY_BYTES:
        width //= 2
        payload["custom_details"] = cut(details, width)
    return payload


def _shorten_key(key: str) -> str:
    """Return a key that PagerDuty takes; long ones that differ stay different."""
    # Blanks stay as they are: keys that differ are of different incidents.
    key = printable(key)
    if len(key) <= _MAX_KEY_CHARACTERS:
        return key
    return f"{key[: _MAX_KEY_CHARACTERS - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
