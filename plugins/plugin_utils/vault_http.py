# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client for the HTTP interfaces of vaults: verified, patient within limits, and discreet.

Its messages hold the method, the host, the path and what happened: never a header, a body, a query
or another exception, any of which could quote a secret.
"""

from __future__ import annotations

import json as json_module
import random
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from ansible.errors import AnsibleError

try:
    import urllib3
    from urllib3 import exceptions as errors
except ImportError:
    HAS_URLLIB3 = False
else:
    HAS_URLLIB3 = True

# The options of the doc fragment vault_http, which are arguments of VaultClient.
OPTIONS = ("ca_path", "proxy", "timeout", "retries", "total_timeout")
# Statuses of the server, or of a proxy in between, that may be others a moment later.
RETRIED = frozenset({429, 500, 502, 503, 504})
# Pauses between attempts double from the first of these to the second.
MIN_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 8.0
# Replies are held in memory.
MAX_BODY_BYTES = 64 * 1024 * 1024


class VaultHTTPError(AnsibleError):
    """A request that failed; `status` is the reply's, None if there was none."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Reply:
    """A reply whose status the caller accepts; `what` is what messages call the request."""

    def __init__(
        self, what: str, status: int, headers: urllib3.HTTPHeaderDict, body: bytes
    ) -> None:
        self.status = status
        self.headers = headers
        self._what = what
        self._body = body

    def json(self) -> Any:
        """Return the value that the body holds, whatever its content type says."""
        try:
            return json_module.loads(self._body)
        except (ValueError, RecursionError):
            # The error is raised below, out of reach of this exception, which quotes the body.
            kind = _media_type(self.headers)
        raise VaultHTTPError(
            f"{self._what}: the reply is not JSON, or only a part of it (its content type is"
            f" {kind}): is the URL right?",
            self.status,
        )


class _Failure(NamedTuple):
    """Why an attempt failed."""

    problem: str
    status: int | None = None
    # Whether a later attempt may succeed.
    passing: bool = False
    # Whether the server never saw the request, so that another attempt repeats nothing.
    unsent: bool = False
    # How long the server asks to wait.
    wait_seconds: float = 0.0


class VaultClient:
    """Requests to one vault over verified TLS, on connections that are kept.

    All of them, with their retries and pauses, share the one time limit that begins here. `host`
    is what messages call the server.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca_path: str | None = None,
        proxy: str | None = None,
        timeout: float = 10.0,
        retries: int = 4,
        total_timeout: float = 120.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not HAS_URLLIB3:
            raise AnsibleError("The lookup needs urllib3 on the controller: install it with pip.")
        if timeout <= 0 or total_timeout <= 0 or retries < 0:
            raise AnsibleError(
                "timeout and total_timeout must be more than 0 seconds, and retries 0 or more."
            )
        parts = _https(base_url)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"
        self.host = parts.netloc
        self._timeout = timeout
        self._retries = retries
        self._total = total_timeout
        self._deadline = time.monotonic() + total_timeout
        self._headers = {"Accept": "application/json", "User-Agent": "caspian-airflow"}
        self._headers |= headers or {}
        self._proxy = ""
        self._pool = self._open(_trust(ca_path), proxy)

    def __enter__(self) -> VaultClient:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (200,),
        retry: bool = True,
        grace: float = 0.0,
    ) -> Reply:
        """Return the reply, if its status is among `accept`.

        With `retry=False`, a request that may have reached the server is not repeated. `grace` is
        for what must be tidied up: so many seconds may pass after the client's time limit.
        """
        path = path.lstrip("/")
        what = f"{method} {self.host} /{path}"
        url = self._base + path + (f"?{urlencode(query)}" if query else "")
        sent = {**self._headers, **(headers or {})}
        body = None
        if json is not None:
            body, sent["Content-Type"] = json_module.dumps(json).encode(), "application/json"
        elif form is not None:
            body = urlencode(form).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        deadline = self._deadline + grace
        attempt = 0
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise VaultHTTPError(f"{what}: {self._late()}")
            attempt += 1
            outcome = self._attempt(what, method, url, body, sent, accept, left)
            if isinstance(outcome, Reply):
                return outcome
            tried = f" (tried {attempt} times)" if attempt > 1 else ""
            again = outcome.passing and (retry or outcome.unsent)
            if not again or attempt > self._retries:
                raise VaultHTTPError(f"{what}: {outcome.problem}{tried}", outcome.status)
            pause = max(outcome.wait_seconds, _backoff(attempt))
            if pause >= deadline - time.monotonic():
                raise VaultHTTPError(
                    f"{what}: {outcome.problem}{tried}, and another attempt in {pause:.3g} s would"
                    f" pass the time limit of {self._total:g} s for the whole lookup",
                    outcome.status,
                )
            time.sleep(pause)

    def _late(self) -> str:
        return f"the time limit of {self._total:g} s for the whole lookup is reached"

    def _open(self, trust: ssl.SSLContext, proxy: str | None) -> urllib3.PoolManager:
        if not proxy:
            return urllib3.PoolManager(ssl_context=trust)
        try:
            parts = urlsplit(proxy)
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise AnsibleError(
                "The proxy is not a URL like http://proxy.example.org:3128 or"
                " http://USER:PASSWORD@proxy.example.org:3128."
            )
        host = parts.netloc.rpartition("@")[2]
        self._proxy = host
        headers = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Proxy-Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        return urllib3.ProxyManager(
            f"{parts.scheme}://{host}",
            proxy_headers=headers,
            proxy_ssl_context=trust,
            ssl_context=trust,
        )

    def _attempt(
        self,
        what: str,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        accept: Collection[int],
        left: float,
    ) -> Reply | _Failure:
        """Send the request once; exceptions end here, since they may quote anything."""
        started = time.monotonic()
        patience = min(self._timeout, left)
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=patience, read=patience),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                chunks, size = [], 0
                while chunk := response.read1(65536):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > MAX_BODY_BYTES:
                        return _Failure(f"the reply is larger than {MAX_BODY_BYTES >> 20} MiB")
                    if time.monotonic() - started > left:
                        return _Failure(f"the reply is too slow: {self._late()}")
                content = b"".join(chunks)
            finally:
                # After a whole body the connection is kept; after anything else it is closed here.
                response.close()
        except Exception as error:
            return self._explain(error, patience)
        if response.status in accept:
            return Reply(what, response.status, response.headers, content)
        return _status_failure(response.status, response.headers)

    def _explain(self, error: Exception, patience: float) -> _Failure:
        """Say what an exception means, in words of our own or of OpenSSL and the system."""
        if isinstance(error, errors.ProxyError):
            refused = re.search(r"Tunnel connection failed: ([0-9]{3})", str(error.original_error))
            if not refused:
                return _Failure(
                    f"no connection to the proxy {self._proxy}", passing=True, unsent=True
                )
            status = int(refused[1])
            return _Failure(
                f"the proxy {self._proxy} refuses the connection ({_named(status)})",
                passing=status in RETRIED,
                unsent=True,
            )
        if isinstance(error, errors.SSLError):
            cause = next((arg for arg in error.args if isinstance(arg, ssl.SSLError)), None)
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _Failure(
                    "the server's certificate is not trusted:"
                    f" {cause.verify_message.rstrip('.')}; a CA of your own is named by ca_path"
                )
            return _Failure("TLS failed, or the connection broke", passing=True)
        if isinstance(error, errors.NameResolutionError):
            return _Failure("the host's name can't be resolved", passing=True, unsent=True)
        if isinstance(error, errors.NewConnectionError):
            reason = getattr(error.__cause__, "strerror", None) or "the host can't be reached"
            return _Failure(f"no connection: {reason}", passing=True, unsent=True)
        if isinstance(error, errors.ConnectTimeoutError):
            return _Failure(f"no connection within {patience:.3g} s", passing=True, unsent=True)
        if isinstance(error, errors.ReadTimeoutError):
            return _Failure(f"no answer within {patience:.3g} s", passing=True)
        if isinstance(error, errors.ProtocolError):
            return _Failure("the connection broke", passing=True)
        return _Failure(f"the request or its reply is not valid HTTP ({type(error).__name__})")


def origin(url: str) -> str:
    """Return what messages may say of a URL: nothing before the host's name or after the path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def _https(url: str) -> SplitResult:
    """Return the parts of a base URL."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise AnsibleError("A vault's URL is not one like https://vault.example.org/path.")
    if parts.scheme != "https":
        raise AnsibleError(
            f"{origin(url)}: the vault's URL must begin with https://, else its secrets would"
            " travel in the clear."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise AnsibleError(
            f"{origin(url)}: a vault's URL holds no user, password, query or fragment; there are"
            " options for user and password."
        )
    return parts


def _trust(ca_path: str | None) -> ssl.SSLContext:
    """Return what verifies servers, by the system's CAs or those of a file or directory."""
    reason = ""
    try:
        if not ca_path:
            context = ssl.create_default_context()
        elif Path(ca_path).is_dir():
            context = ssl.create_default_context(capath=ca_path)
        else:
            context = ssl.create_default_context(cafile=ca_path)
    except ssl.SSLError:
        reason = "there is no certificate in PEM form in it"
    except OSError as error:
        reason = error.strerror or "it can't be read"
    if reason:
        raise AnsibleError(f"{ca_path}: the file of CA certificates: {reason}.")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _status_failure(status: int, headers: Mapping[str, str]) -> _Failure:
    if 300 <= status < 400 and "Location" in headers:
        return _Failure(f"{_named(status)}: redirects are not followed, correct the URL", status)
    return _Failure(
        _named(status), status, passing=status in RETRIED, wait_seconds=_wanted_pause(headers)
    )


def _named(status: int) -> str:
    """Return the status with its standard phrase, since the server's own could be anything."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _wanted_pause(headers: Mapping[str, str]) -> float:
    """Return the seconds of Retry-After, which is a number or a date; 0 without a usable one."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until, now = _timestamp(value), _timestamp(headers.get("Date", ""))
    if until is None:
        return 0.0
    # The server's own clock counts, if it tells the time.
    return max(0.0, until - (time.time() if now is None else now))


def _timestamp(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _backoff(attempt: int) -> float:
    """Return a pause that grows, with a random part, so that clients don't come back as one."""
    pause = min(MAX_PAUSE_SECONDS, MIN_PAUSE_SECONDS * 2.0 ** (attempt - 1))
    return pause * random.uniform(0.5, 1)  # noqa: S311 - no secret


def _media_type(headers: Mapping[str, str]) -> str:
    value = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return value if re.fullmatch(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,80}", value) else "not given"
