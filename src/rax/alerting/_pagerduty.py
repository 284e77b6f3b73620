# SPDX-License-Identifier: Apache-2.0
"""One event to PagerDuty: where it goes, how often it is tried, and what an answer means."""

import contextlib
import os
import re
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from rax._printable import one_line
from rax.alerting._capture import Capture, capture_folder
from rax.alerting._deadline import Deadline, Stage
from rax.alerting._events import Event
from rax.alerting._secrets import mask, read_credential, secret_spellings
from rax.credentials import Credential, list_credentials
from rax.errors import AlertError, CredentialNotFoundError, RaxError, UnreadableCredentialError

_DEFAULT_CREDENTIAL = "PAGERDUTY"
_DEFAULT_URL = "https://events.pagerduty.com"
_PATH = "/v2/enqueue"
_WEB_ADDRESS = re.compile(r"(?!events\.)([a-z0-9-]+\.)*pagerduty\.com")

_ACCEPTED = 202
# PagerDuty asks to try these again. Any other status would come again.
_RETRIED_STATUSES = (408, 425, 429, 500, 502, 503, 504)
# Parts of the limit: 1, 2, 4 and 8 of 20 seconds, which add up to three quarters of it.
_PAUSE_FRACTIONS = (1 / 20, 1 / 10, 1 / 5, 2 / 5)
# How long one attempt may take. None is begun that the end of the limit could cut, since PagerDuty
# may have taken the event by then.
_ATTEMPT_FRACTION = 1 / 5
# The statuses that are about this event alone; 413 is that of a proxy.
_REFUSED_STATUSES = (400, 413)
# A reason that is about the routing key alone: nothing is wrong with the event.
_KEY_REASON = re.compile(r"[^{}]{0,100}routing[ _]key[^{}]{0,100}", re.IGNORECASE)
_MAX_MESSAGE_CHARACTERS = 500


class RefusedError(AlertError):
    """PagerDuty will never take this event."""


class _TimeOverError(Exception):
    """Nobody waits for the event any more."""


class _TransientError(Exception):
    """PagerDuty may take the event at the next attempt."""


def credential_name() -> str:
    """Return the name of the credential whose password is the routing key."""
    return os.environ.get("RAX_ALERTING_CREDENTIAL") or _DEFAULT_CREDENTIAL


def not_set_up() -> str:
    """Say why there are no alerts on this node, or nothing where they are set up."""
    if folder := capture_folder():
        return f"RAX_ALERTING_CAPTURE is set: alerts go to {folder}, and not to PagerDuty"
    if os.environ.get("RAX_ALERTING_CREDENTIAL"):
        return ""
    try:
        if _DEFAULT_CREDENTIAL in list_credentials():
            return ""
        problem = f"this node has no credential {_DEFAULT_CREDENTIAL!r}"
    except UnreadableCredentialError:
        # The credential may be there; whoever sends will learn what is wrong with it.
        return ""
    except CredentialNotFoundError as error:
        problem = str(error)
    return (
        f"alerting is not set up: {problem}; its password, or that of the one that"
        " RAX_ALERTING_CREDENTIAL names, is PagerDuty's routing key"
    )


def connect(name: str, deadline: Deadline) -> "Client | Capture":
    """Return what sends events with the routing key of a credential, or keeps them on this disk.

    :raises AlertError: the credential, or what is to keep them, cannot be used
    """
    folder = capture_folder()
    return Capture(folder) if folder else Client(name, deadline)


class Client:
    """Sends events to PagerDuty with the routing key of one credential.

    What is wrong with the credential is an AlertError.
    """

    def __init__(self, name: str, deadline: Deadline) -> None:
        deadline.stage = Stage.READ_CREDENTIAL
        self._deadline = deadline
        credential = _routing_credential(name)
        base_url = _base_url(credential)
        self._host = deadline.host = urlsplit(base_url).netloc
        self._secrets = secret_spellings([credential])
        deadline.stage = Stage.SEND
        # Imported only here: this and the settings of TLS cost more than all else.
        try:
            from pagerduty import EventsApiV2Client
        except ImportError:
            raise AlertError("the package 'pagerduty' is not installed here") from None
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [self._on_request],
            "response": [self._on_response],
        }
        try:
            # Any, since the client declares its time-out as a whole number.
            self._client: Any = EventsApiV2Client(
                credential["pass"], base_url=base_url, event_hooks=hooks
            )
        except OSError as error:
            raise AlertError(
                f"TLS cannot be set up; look at SSL_CERT_FILE and SSL_CERT_DIR: {error.strerror}"
            ) from None
        # The client's own attempts never end for 429, take three minutes for 503, and sleep on when
        # nobody waits any more. It makes one for each of ours.
        self._client.max_network_attempts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, event: Event) -> None:
        """Return once PagerDuty has taken the event.

        A RefusedError says that it never will, any other AlertError that it may another time.
        """
        self._deadline.stage, self._deadline.host = Stage.SEND, self._host
        self._deadline.last_answer = ""
        seconds, attempts, problem = self._deadline.seconds, 0, ""
        for pause in (0, *_PAUSE_FRACTIONS):
            if pause:
                self._deadline.wait(pause * seconds)
            if self._deadline.left < _ATTEMPT_FRACTION * seconds:
                break
            attempts += 1
            problem = self._attempt(event)
            if not problem:
                return
        if self._deadline.is_over:
            raise AlertError(str(self._deadline))
        if not attempts:
            raise AlertError(f"{self._host} was not asked: too little of {seconds:g} s was left")
        attempted = f" ({attempts} attempts)" if attempts > 1 else ""
        raise AlertError(self._masked(f"{problem}{attempted}"))

    def _attempt(self, event: Event) -> str:
        """Send once; return nothing, or a problem that may pass; raise one that will not."""
        from pagerduty import Error

        action, rest = event["event_action"], dict(event)
        del rest["event_action"]
        self._client.timeout = _ATTEMPT_FRACTION * self._deadline.seconds
        self._is_accepted = False
        try:
            self._client.send_event(action, **rest)
        except _TimeOverError:
            raise AlertError(str(self._deadline)) from None
        except _TransientError as error:
            return str(error)
        except Exception as error:
            # PagerDuty has the event, whatever was wrong with the rest of its answer: another
            # attempt would send it twice.
            if self._is_accepted:
                return ""
            if not isinstance(error, Error):
                raise
            if error.response is None:
                return f"{self._host} cannot be reached: {error.__cause__ or 'no connection'}"
            raise self._refusal(error.response) from None
        return ""

    def _refusal(self, response: Any) -> AlertError:
        """Return what an answer means for the event, which waits where the routing key is to blame.

        The client's own message may quote the last characters of the key.
        """
        status = response.status_code
        if response.is_success:
            return AlertError(f"{self._host} answered {status}, but not as PagerDuty does")
        reasons = _reasons(response)
        refused = status in _REFUSED_STATUSES and not (
            reasons and all(_KEY_REASON.fullmatch(reason) for reason in reasons)
        )
        shown = f": {'; '.join(reasons)}" if reasons else ""
        kind = RefusedError if refused else AlertError
        return kind(self._masked(f"{self._host} answered {status}{shown}"))

    def _masked(self, text: str) -> str:
        return one_line(str(mask(text, self._secrets)), _MAX_MESSAGE_CHARACTERS)

    def _on_request(self, request: Any) -> None:
        request.extensions = {**request.extensions, "trace": self._on_trace}
        if self._deadline.is_over:
            raise _TimeOverError

    def _on_trace(self, _name: str, info: dict[str, Any]) -> None:
        """Register a new connection with the deadline."""
        get_extra_info = getattr(info.get("return_value"), "get_extra_info", None)
        if get_extra_info:
            self._deadline.cut_at_end(get_extra_info("socket"))
            if self._deadline.is_over:
                raise _TimeOverError

    def _on_response(self, response: Any) -> None:
        status = response.status_code
        self._deadline.last_answer = str(status)
        self._is_accepted = status == _ACCEPTED
        if status in _RETRIED_STATUSES:
            raise _TransientError(f"{self._host} answered {status}")


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
