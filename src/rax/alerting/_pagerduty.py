# SPDX-License-Identifier: Apache-2.0
"""One event to PagerDuty: where it goes, how often it is tried, and what an answer means."""

import contextlib
import os
import re
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from rax._printable import one_line
from rax.alerting._deadline import Deadline
from rax.alerting._events import Event
from rax.alerting._secrets import masked, read_credential, spelled
from rax.credentials import Credential, list_credentials
from rax.errors import AlertError, CredentialNotFoundError, RaxError, UnreadableCredentialError

_DEFAULT_CREDENTIAL = "PAGERDUTY"
_DEFAULT_URL = "https://events.pagerduty.com"
_PATH = "/v2/enqueue"
_WEB_ADDRESS = re.compile(r"(?!events\.)([a-z0-9-]+\.)*pagerduty\.com")

_ACCEPTED = 202
# PagerDuty asks to try these again; what it answers with the others, it will answer again.
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
# As parts of the limit: 1, 2, 4 and 8 of 20 seconds. So pauses add up to three quarters of it.
_PAUSES = (1 / 20, 1 / 10, 1 / 5, 2 / 5)
# Of one try. None is begun that the end of the limit could cut: PagerDuty may have taken it.
_TIMEOUT = 1 / 5
# 413 is a proxy's: it, too, is about this event alone.
_FINAL = (400, 413)
# A reason that is about the key alone: the event is as good as any other.
_KEY_REASON = re.compile(r"[^{}]{0,100}routing[ _]key[^{}]{0,100}", re.IGNORECASE)
_LONGEST_MESSAGE = 500


class RefusedError(AlertError):
    """PagerDuty will never take this event."""


class _OverError(Exception):
    """Nobody waits for this event any more."""


class _PassingError(Exception):
    """An answer that may be another one next time."""


def credential_name() -> str:
    """Return the name of the credential that has the routing key."""
    return os.environ.get("RAX_ALERTING_CREDENTIAL") or _DEFAULT_CREDENTIAL


def not_set_up() -> str:
    """Say why there are no alerts on this node, or nothing where they are set up."""
    if os.environ.get("RAX_ALERTING_CREDENTIAL"):
        return ""
    try:
        if _DEFAULT_CREDENTIAL in list_credentials():
            return ""
        problem = f"this node has no credential {_DEFAULT_CREDENTIAL!r}"
    except UnreadableCredentialError:
        # It may be there.
        return ""
    except CredentialNotFoundError as error:
        problem = str(error)
    return (
        f"alerting is not set up: {problem}; its password, or that of the one that"
        " RAX_ALERTING_CREDENTIAL names, is PagerDuty's routing key"
    )


class Client:
    """PagerDuty, as one credential sees it."""

    def __init__(self, name: str, deadline: Deadline) -> None:
        """Read the credential of that name; what is wrong with it is an AlertError."""
        deadline.doing = "its credential could not be read"
        self._deadline = deadline
        credential = _routing_credential(name)
        base_url = _base_url(credential)
        self._host = urlsplit(base_url).netloc
        self._secrets = spelled([credential])
        deadline.doing = f"{self._host} did not accept it"
        # Import and TLS settings come late: both cost more than all else.
        try:
            from pagerduty import EventsApiV2Client
        except ImportError:
            raise AlertError("the package 'pagerduty' is not installed here") from None
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [self._on_request],
            "response": [self._on_response],
        }
        try:
            # Any, since it declares its time-out as a whole number.
            self._client: Any = EventsApiV2Client(
                credential["pass"], base_url=base_url, event_hooks=hooks
            )
        except OSError as error:
            raise AlertError(
                f"TLS cannot be set up; look at SSL_CERT_FILE and SSL_CERT_DIR: {error.strerror}"
            ) from None
        # Its own way to try again has no end for 429, takes three minutes for 503, and sleeps
        # whoever waits: here it tries once.
        self._client.max_network_attempts = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._client.close()

    def send(self, event: Event) -> None:
        """Return once PagerDuty has taken the event.

        A RefusedError says that it never will, any other AlertError that it may another time.
        """
        self._deadline.doing = f"{self._host} did not accept it"
        self._deadline.last_answer = ""
        limit, tries, problem = self._deadline.limit, 0, ""
        for pause in (0, *_PAUSES):
            if pause:
                self._deadline.wait(pause * limit)
            if self._deadline.left < _TIMEOUT * limit:
                break
            tries += 1
            problem = self._try(event)
            if not problem:
                return
        if self._deadline.is_over:
            raise AlertError(str(self._deadline))
        if not tries:
            raise AlertError(f"{self._host} was not asked: too little of {limit:g} s was left")
        raise AlertError(self._shown(f"{problem} ({tries} attempts)" if tries > 1 else problem))

    def _try(self, event: Event) -> str:
        """Return what may be another one next time; raise what may not."""
        from pagerduty import Error

        action, rest = event["event_action"], dict(event)
        del rest["event_action"]
        self._client.timeout = _TIMEOUT * self._deadline.limit
        self._is_accepted = False
        try:
            self._client.send_event(action, **rest)
        except _OverError:
            raise AlertError(str(self._deadline)) from None
        except _PassingError as error:
            return str(error)
        except Exception as error:
            # Whatever becomes of the rest of the answer: a second one would be a duplicate.
            if self._is_accepted:
                return ""
            if not isinstance(error, Error):
                raise
            if error.response is None:
                return f"{self._host} cannot be reached: {error.__cause__ or 'no connection'}"
            raise self._refusal(error.response) from None
        return ""

    def _refusal(self, response: Any) -> AlertError:
        """Return what an answer means; the client's own text may end in the key's last characters.

        Where the routing key is to blame, the event waits for a better one.
        """
        status = response.status_code
        if response.is_success:
            return AlertError(f"{self._host} answered {status}, but not as PagerDuty does")
        reasons = _reasons(response)
        final = status in _FINAL and not (
            reasons and all(_KEY_REASON.fullmatch(reason) for reason in reasons)
        )
        said = f": {'; '.join(reasons)}" if reasons else ""
        kind = RefusedError if final else AlertError
        return kind(self._shown(f"{self._host} answered {status}{said}"))

    def _shown(self, text: str) -> str:
        return one_line(str(masked(text, self._secrets)), _LONGEST_MESSAGE)

    def _on_request(self, request: Any) -> None:
        request.extensions = {**request.extensions, "trace": self._on_step}
        if self._deadline.is_over:
            raise _OverError

    def _on_step(self, _name: str, info: dict[str, Any]) -> None:
        """Note a new connection."""
        get_extra_info = getattr(info.get("return_value"), "get_extra_info", None)
        if get_extra_info:
            self._deadline.hold(get_extra_info("socket"))
            if self._deadline.is_over:
                raise _OverError

    def _on_response(self, response: Any) -> None:
        status = response.status_code
        self._deadline.last_answer = str(status)
        self._is_accepted = status == _ACCEPTED
        if status in _RETRIED:
            raise _PassingError(f"{self._host} answered {status}")


def _routing_credential(name: str) -> Credential:
    try:
        return read_credential(name)
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


def _reasons(response: Any) -> list[str]:
    """Return the reasons that PagerDuty gives for a refusal."""
    with contextlib.suppress(ValueError):
        body = response.json()
        if isinstance(body, dict) and isinstance(body.get("errors"), list):
            return [" ".join(str(reason).split()) for reason in body["errors"]]
    return []
