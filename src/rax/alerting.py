# SPDX-License-Identifier: Apache-2.0
"""Alerts through PagerDuty: one key opens an incident, and the same key closes it.

::

    from rax.alerting import resolve, trigger

    trigger(
        "EBI load: no file since Monday", "error", "worker1", {"folder": "/data/ebi"},
        dedup_key="production/ebi_load",
    )
    resolve("production/ebi_load")

A ``dedup_key`` stands for what is wrong, not for a run: while its incident is open, another
trigger adds to it. The routing key is the password of the credential ``PAGERDUTY``, or of the one
that ``RAX_ALERTING_CREDENTIAL`` names; its user and host may be anything. Events go to the first of

1. ``RAX_ALERTING_URL``
2. the credential's ``metadata["events_url"]``
3. its ``url``, unless that is the web address of an account, such as https://acme.pagerduty.com
4. https://events.pagerduty.com

always over https; ``SSL_CERT_FILE`` and ``HTTPS_PROXY`` are followed. What PagerDuty doesn't accept
is shortened, and passwords of this node's credentials are masked, wherever they occur in an event.
What cannot be sent raises an ``AlertError``, after at most ``limit`` seconds.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args
from urllib.parse import quote, quote_plus, unquote, urlsplit

from rax.credentials import Credential, get_credentials, list_credentials
from rax.errors import AlertError, RaxError

__all__ = ["Severity", "resolve", "trigger"]

Severity = Literal["critical", "error", "warning", "info"]

# Seconds for a whole call, and how often an event is sent again within them.
_LIMIT = 20.0
_RETRIES = 4
_RETRIED = (408, 425, 429, 500, 502, 503, 504)

_DEFAULT_CREDENTIAL = "PAGERDUTY"
_DEFAULT_URL = "https://events.pagerduty.com"
_PATH = "/v2/enqueue"
_WEB_ADDRESS = re.compile(r"(?!events\.)([a-z0-9-]+\.)*pagerduty\.com")

# PagerDuty's limits. That of the body is 512 KB, whichever KB that is, routing key included.
_SUMMARY = 1024
_SOURCE = 1024
_DEDUP_KEY = 255
_BODY = 500_000
# Ours, for the details: characters of a text, and levels.
_TEXT = 2**16
_DEPTH = 20
_MESSAGE = 500

# Shorter ones would mask ordinary words; Airflow's own masker has the same rule.
_SHORTEST_SECRET = 5
_SECRET_METADATA = re.compile(r"pass|secret|token|key", re.IGNORECASE)


def trigger(
    summary: str,
    severity: Severity,
    source: str,
    details: Mapping[str, object],
    dedup_key: str,
    *,
    limit: float = _LIMIT,
) -> None:
    """Open the incident of that key, or add to it.

    >>> trigger("no new file", "fatal", "worker1", {}, "production/ebi_load")
    Traceback (most recent call last):
        ...
    rax.errors.AlertError: the severity of an alert is one of critical, error, warning, info, \
not 'fatal'
    """
    if severity not in get_args(Severity):
        raise AlertError(
            f"the severity of an alert is one of {', '.join(get_args(Severity))}, not {severity!r}"
        )
    for name, text in (("summary", summary), ("source", source)):
        if not text.strip():
            raise AlertError(f"an alert needs a {name}")
    texts: dict[str, object] = {"summary": summary, "source": source, "custom_details": details}
    _send("trigger", dedup_key, texts, {"severity": severity}, limit)


def resolve(dedup_key: str, *, limit: float = _LIMIT) -> None:
    """Close the incident of that key; nothing happens where none is open."""
    _send("resolve", dedup_key, {}, {}, limit)


def _send(
    action: str,
    dedup_key: str,
    texts: dict[str, object],
    words: dict[str, str],
    limit: float,
) -> None:
    """Send an event within the limit, or raise an error that holds nothing of a credential.

    The texts may be anything and are masked; the words are PagerDuty's own and stay.
    """
    if not dedup_key.strip():
        raise AlertError("an alert needs a dedup_key")
    attempt = _Attempt(action, {**texts, "dedup_key": dedup_key}, words, limit)
    # A thread, since nothing else bounds names that do not resolve, answers that come byte by
    # byte and file systems that hang. It ends before its next try once the time is over.
    worker = threading.Thread(target=attempt.run, name="rax-alert", daemon=True)
    worker.start()
    worker.join(limit)
    attempt.over.set()
    problem = attempt.timed_out() if worker.is_alive() else attempt.problem
    # Not the worker's own exception, whose frames have held the routing key.
    if problem:
        raise AlertError(f"PagerDuty did not take the {action} of {dedup_key!r}: {problem}")


class _OverError(Exception):
    """Nobody waits for this event any more."""


class _Attempt:
    """One event on its way, and what has become of it."""

    def __init__(
        self, action: str, texts: dict[str, object], words: dict[str, str], limit: float
    ) -> None:
        self.action = action
        self.texts = texts
        self.words = words
        self.limit = limit
        self.over = threading.Event()
        self.problem = "it was not sent"
        self.host = ""
        self.requests = 0
        self.last = ""

    def run(self) -> None:
        """Send the event; note what went wrong, in words that may be shown."""
        try:
            self.problem = self._deliver()
        except _OverError:
            self.problem = self.timed_out()
        except RaxError as error:
            self.problem = str(error)
        except Exception as error:
            # Whatever its message holds, it may be the event's or the credential's.
            self.problem = f"{self.host}: unexpected {type(error).__name__}".removeprefix(": ")

    def timed_out(self) -> str:
        """Say how far it came."""
        if not self.host:
            return f"its credential could not be read within {self.limit:g} s"
        last = f"; the last answer was {self.last}" if self.last else ""
        return f"{self.host} did not accept it within {self.limit:g} s{last}"

    def _deliver(self) -> str:
        credential = _routing_credential()
        base_url = _base_url(credential)
        self.host = urlsplit(base_url).netloc
        texts = _plain(self.texts)
        forms = _forms(credential)
        found = _found(forms, texts)
        texts = {name: _masked(text, found) for name, text in texts.items()}
        dedup_key = _short_key(texts.pop("dedup_key"))
        event = {"payload": _fit(texts | self.words)} if texts else {}
        # Import and TLS settings come late: both cost more than all of the above.
        try:
            from pagerduty import Error, EventsApiV2Client
        except ImportError:
            return "the package 'pagerduty' is not installed here"
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [self._on_request],
            "response": [self._on_response],
        }
        try:
            # Any, since it declares its time-out as a whole number.
            client: Any = EventsApiV2Client(
                credential["pass"], base_url=base_url, event_hooks=hooks
            )
        except OSError as error:
            return f"TLS cannot be set up; look at SSL_CERT_FILE and SSL_CERT_DIR: {error.strerror}"
        # The client's own way to try again has no end for 429 and three minutes for 503. With
        # these, the pauses add up to three quarters of the limit: 1, 2, 4 and 8 of 20 seconds.
        client.retry = dict.fromkeys(_RETRIED, _RETRIES)
        client.max_network_attempts = _RETRIES
        client.sleep_timer = self.limit / 40
        client.timeout = self.limit / 4
        with client:
            try:
                client.send_event(self.action, dedup_key=dedup_key, **event)
            except Error as error:
                return _cut_text(str(_masked(self._explain(error), forms)), _MESSAGE)
        return ""

    def _explain(self, error: Any) -> str:
        """Say what the client's error means; its own text may end in the key's last characters."""
        tries = f" ({self.requests} attempts)" if self.requests > 1 else ""
        if error.response is None:
            reason = error.__cause__ or "no connection"
            return f"{self.host} cannot be reached: {reason}{tries}"
        status = error.response.status_code
        if error.response.is_success:
            return f"{self.host} answered {status}, but not as PagerDuty does"
        said = _errors(error.response)
        return f"{self.host} answered {status}{f': {said}' if said else ''}{tries}"

    def _on_request(self, _request: Any) -> None:
        if self.over.is_set():
            raise _OverError
        self.requests += 1

    def _on_response(self, response: Any) -> None:
        self.last = str(response.status_code)


def _routing_credential() -> Credential:
    name = os.environ.get("RAX_ALERTING_CREDENTIAL") or _DEFAULT_CREDENTIAL
    try:
        return get_credentials(name)
    except RaxError as error:
        raise AlertError(f"the routing key cannot be read: {error}") from None


def _base_url(credential: Credential) -> str:
    """Return where events go, without path, query and userinfo."""
    given = {
        "RAX_ALERTING_URL": os.environ.get("RAX_ALERTING_URL"),
        f"metadata.events_url of {credential.name}": credential["metadata"].get("events_url"),
        f"url of {credential.name}": credential["url"],
    }
    for origin, url in given.items():
        if not url:
            continue
        try:
            parts = urlsplit(str(url).strip())
            host, valid = parts.hostname, parts.port != 0
        except ValueError:
            host, valid = None, False
        if not valid or not host or parts.scheme != "https":
            raise AlertError(f"{origin} is not an https:// URL, such as {_DEFAULT_URL}")
        if origin.startswith("url ") and _WEB_ADDRESS.fullmatch(host):
            continue
        place = parts.netloc.rpartition("@")[2]
        return f"https://{place}{parts.path.rstrip('/').removesuffix(_PATH)}"
    return _DEFAULT_URL


def _errors(response: Any) -> str:
    """Return the reasons that PagerDuty gives for a refusal."""
    with contextlib.suppress(ValueError):
        body = response.json()
        if isinstance(body, dict) and isinstance(body.get("errors"), list):
            return " ".join("; ".join(map(str, body["errors"])).split())
    return ""


# What may be sent


def _plain(value: object, depth: int = 0) -> Any:
    """Return what JSON can hold."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    # A credential is a mapping too; its text has no password.
    if isinstance(value, Mapping) and not isinstance(value, Credential):
        if depth == _DEPTH:
            return f"{len(value)} entries"
        return {_text(key): _plain(item, depth + 1) for key, item in list(value.items())}
    if isinstance(value, list | tuple | set | frozenset):
        if depth == _DEPTH:
            return f"{len(value)} entries"
        return [_plain(item, depth + 1) for item in list(value)]
    return _text(value)


def _text(value: object) -> str:
    """Return the text of anything; a lone surrogate in it could not be sent."""
    try:
        text = repr(value) if isinstance(value, bytes) else str(value)
    except Exception:
        text = f"a {type(value).__name__} that cannot be shown"
    # Longer than what is sent of it, so that no half of a secret is left at the end.
    return text[: 2 * _TEXT].encode("utf-8", "replace").decode()


def _forms(routing: Credential) -> list[str]:
    """Return the secrets of this node's credentials, in all the ways that texts have them."""
    secrets = set(_secrets(routing))
    with contextlib.suppress(RaxError):
        for name in list_credentials():
            # What this account cannot read, it cannot have put into an event either.
            with contextlib.suppress(RaxError):
                secrets.update(_secrets(get_credentials(name)))
    forms = {
        form
        for secret in secrets
        if len(secret) >= _SHORTEST_SECRET
        for form in (
            _text(secret),
            quote(secret, safe="", errors="replace"),
            quote_plus(secret, errors="replace"),
            _text(repr(secret)[1:-1]),
            json.dumps(secret)[1:-1],
            _text(_json(secret)[1:-1]),
        )
    }
    return sorted(forms, key=len, reverse=True)


def _secrets(credential: Credential) -> Iterator[str]:
    yield credential["pass"]
    with contextlib.suppress(ValueError):
        yield unquote(urlsplit(credential["url"]).password or "")
    for key, value in credential["metadata"].items():
        if isinstance(value, str) and _SECRET_METADATA.search(key):
            yield value


def _found(forms: list[str], texts: dict[str, Any]) -> list[str]:
    """Return those that occur at all: thousands are looked for in one pass, by how they begin."""
    everything, size = _json(texts), _SHORTEST_SECRET
    escaped = {form: _json(form)[1:-1] for form in forms}
    begins = {text[:size] for text in escaped.values()}
    seen = {
        begin
        for index in range(len(everything))
        if (begin := everything[index : index + size]) in begins
    }
    return [form for form in forms if escaped[form][:size] in seen and escaped[form] in everything]


def _masked(value: Any, forms: list[str]) -> Any:
    if isinstance(value, dict):
        return {_masked(key, forms): _masked(item, forms) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, forms) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    for form in forms:
        text = text.replace(form, "***")
    return value if text == str(value) else text


def _fit(payload: dict[str, Any]) -> dict[str, Any]:
    """Shorten what is too long, and the details as far as it takes."""
    payload["summary"] = _cut_text(payload["summary"], _SUMMARY)
    payload["source"] = _cut_text(payload["source"], _SOURCE)
    details, width = payload["custom_details"], _TEXT
    payload["custom_details"] = _cut(details, width)
    while len(_json(payload).encode()) > _BODY:
        width //= 2
        payload["custom_details"] = _cut(details, width)
    return payload


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cut(value: Any, width: int) -> Any:
    """Keep so many characters of each text, and so many items of each collection."""
    if isinstance(value, str):
        return _cut_text(value, width)
    if isinstance(value, list):
        kept = [_cut(item, width) for item in value[:width]]
        return [*kept, f"… {len(value) - width} more"] if len(value) > width else kept
    if isinstance(value, dict):
        items = list(value.items())
        few = {_cut_text(key, width): _cut(item, width) for key, item in items[:width]}
        return few | {"…": f"{len(items) - width} more"} if len(items) > width else few
    return value


def _cut_text(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


def _short_key(key: str) -> str:
    """Return a key that PagerDuty takes; long ones that differ stay different."""
    if len(key) <= _DEDUP_KEY:
        return key
    return f"{key[: _DEDUP_KEY - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
