# SPDX-License-Identifier: Apache-2.0
"""Airflow's REST API, asked over HTTP; who answers is not trusted.

A password or a token goes to the address that was given, and nowhere else: no redirect is followed,
and no proxy stands before an address of this machine.
"""

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from rax._printable import one_line
from rax.alerting._secrets import mask, secret_spellings
from rax.credentials import Credential
from rax.errors import CommandError
from rax.testing._staging._address import Address

MAX_ANSWER_BYTES = 16 * 2**20
# An API server that shares its processors may take a minute.
MAX_ANSWER_SECONDS = 90.0
# How long a cluster may be away, as while its API server is restarted.
MAX_AWAY_SECONDS = 60.0
_MAX_REASON_CHARACTERS = 300
_MAX_TOKEN_CHARACTERS = 20_000
_CHUNK_BYTES = 1 << 16
_NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN = 404, 401, 403
# What a server, or the proxy before it, says while it is away.
_AWAY = (429, 502, 503, 504)

_Body = Mapping[str, Any] | None


class AnswerError(CommandError):
    """The cluster refuses something, or its answer is none of Airflow's."""

    def __init__(self, text: str, status: int = 0) -> None:
        self.status = status
        super().__init__(text)

    @property
    def is_not_found(self) -> bool:
        """Whether there is no such thing there."""
        return self.status == _NOT_FOUND


class AwayError(CommandError):
    """The cluster does not answer."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Client:
    """The API at an address, as the account of a credential.

    :raises CommandError: it does not answer, or does not know the account
    """

    def __init__(
        self, address: Address, account: Credential, *, away_seconds: float = MAX_AWAY_SECONDS
    ) -> None:
        self.address = address
        self._account = account
        self._secrets = secret_spellings([account])
        self._away_seconds = away_seconds
        handlers: list[urllib.request.BaseHandler] = [
            _NoRedirects(),
            urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        ]
        if address.is_local:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._token = ""
        self._log_in()

    def get(self, path: str) -> dict[str, Any]:
        """Return an answer; while the cluster is away, ask again.

        :raises AnswerError: it refuses, or the answer is no object of JSON
        :raises AwayError: it stays away
        """
        ends = time.monotonic() + self._away_seconds
        pause = 0.5
        while True:
            try:
                return self._send("GET", path)
            except AwayError:
                if time.monotonic() + pause > ends:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 8.0)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send something, once, and return the answer; it raises what ``get`` raises."""
        return self._send("POST", path, body)

    def delete(self, path: str) -> None:
        """Have something removed; it raises what ``get`` raises."""
        self._send("DELETE", path)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            return self._ask(method, path, body)
        except AnswerError as error:
            if error.status != _UNAUTHORIZED:
                raise
        # A token lasts for some time only.
        self._log_in()
        return self._ask(method, path, body)

    def _log_in(self) -> None:
        self._token = ""
        account = self._account
        try:
            answer = self._ask(
                "POST", "/auth/token", {"username": account["user"], "password": account["pass"]}
            )
        except AnswerError as error:
            if error.status in (_UNAUTHORIZED, _FORBIDDEN):
                raise CommandError(
                    f"{self.address.url} does not know the user and the password of the credential "
                    f"{account.name}: ./rax credentials set {account.name}"
                ) from None
            if error.is_not_found:
                raise CommandError(f"{self.address.url} has no API of Airflow 3") from None
            raise
        token = answer.get("access_token")
        if (
            not isinstance(token, str)
            or not 0 < len(token) <= _MAX_TOKEN_CHARACTERS
            or not token.isascii()
            or not token.isprintable()
            or " " in token
        ):
            raise CommandError(f"{self.address.url} gives no token: it is no API of Airflow 3")
        self._token = token

    def _ask(self, method: str, path: str, body: _Body) -> dict[str, Any]:
        what = f"{method} {path.partition('?')[0]}"
        request = urllib.request.Request(  # noqa: S310 - its scheme has been looked at
            self.address.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", "Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        )
        try:
            with self._opener.open(request, timeout=MAX_ANSWER_SECONDS) as answer:
                content = self._content(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(what, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise AwayError(f"{self.address.url} does not answer: {self._fit(error)}") from None
        if not content and method == "DELETE":
            return {}
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise AnswerError(f"{what}: the answer is no object of JSON, as Airflow's are")
        return found

    def _content(self, answer: Any) -> bytes:
        """Read an answer, no more of it and no longer than an answer may have."""
        ends = time.monotonic() + MAX_ANSWER_SECONDS
        content = bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise AnswerError(f"an answer has more than {MAX_ANSWER_BYTES // 2**20} MiB")
            if time.monotonic() > ends:
                raise AwayError(
                    f"{self.address.url}: an answer takes more than {MAX_ANSWER_SECONDS:.0f} s"
                )
        if answer.length:
            raise AwayError(f"{self.address.url} does not answer: its answer ends in the middle")
        return bytes(content)

    def _refused(self, what: str, error: urllib.error.HTTPError) -> AnswerError | AwayError:
        if error.code in _AWAY:
            return AwayError(f"{self.address.url} does not answer: HTTP {error.code}")
        if error.headers.get("Location"):
            return AnswerError(
                f"{self.address.url} leads elsewhere (HTTP {error.code}), where no password goes: "
                "give the address that it leads to"
            )
        if error.code == _FORBIDDEN:
            return AnswerError(
                f"the user of the credential {self._account.name} may not {what}", error.code
            )
        try:
            detail = json.loads(error.read(_CHUNK_BYTES))["detail"]
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
            RecursionError,
            KeyError,
            TypeError,
        ):
            detail = ""
        reason = f": {self._fit(detail)}" if detail else ""
        return AnswerError(f"{what}: HTTP {error.code}{reason}", error.code)

    def _fit(self, reason: object) -> str:
        """Return what a server has said, fit to be shown: it may repeat what it was sent."""
        reason = getattr(reason, "reason", reason)
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        token = [self._token] if self._token else []
        return one_line(str(mask(str(text), [*token, *self._secrets])), _MAX_REASON_CHARACTERS)
