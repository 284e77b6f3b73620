# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of BeyondTrust Password Safe, public API version 3, and the records of what it holds."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.caspian.airflow.plugins.plugin_utils import records
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http import (
    Reply,
    VaultClient,
    VaultHTTPError,
)

BASE_PATH = "/BeyondTrust/api/public/v3"
# A list that is longer has no end.
MAX_PAGES = 200
# An answer of these to a request for one secret or account says something of that one alone.
OF_ONE_NAME = (400, 403, 404, 409, 500)
# 404 is the answer where the request has ended already.
CHECKED_IN = (200, 204, 404)
# What check-in and sign-out have after the time limit.
CHECK_IN_GRACE_SECONDS = 10.0
SIGN_OUT_GRACE_SECONDS = 20.0

display = Display()

# Gets a function that makes requests; returns the header Authorization.
Authorize = Callable[[Callable[..., Reply]], str]
Record = dict[str, Any]


class Session:
    """A session with the server: signed in at the beginning, and out at the end, come what may."""

    def __init__(self, client: VaultClient, place: str, authorize: Authorize) -> None:
        self.place = place
        self._client = client
        self._authorize = authorize
        self._authorization = ""
        self._cookies: SimpleCookie = SimpleCookie()

    def __enter__(self) -> Session:
        try:
            self._sign_in()
        except BaseException:
            self._sign_out()
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        self._sign_out()

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Make a request and return the value that its answer holds."""
        return self._send(method, path, **given).json()

    @contextlib.contextmanager
    def requested(self, account: Mapping[str, Any], minutes: int, reason: str) -> Iterator[int]:
        """Have a request for an account open; the value is its number."""
        ids = {"SystemID": account.get("systemid"), "AccountID": account.get("accountid")}
        asked = {"DurationMinutes": minutes, "Reason": reason, "ConflictOption": "reuse"}
        number, refused = None, False
        try:
            try:
                # May be repeated: `reuse` returns the request of an answer that was lost.
                answer = self._send("POST", "Requests", json=ids | asked, accept=(200, 201))
            except VaultHTTPError as error:
                refused = error.status is not None and 400 <= error.status < 500
                raise
            number = answer.json()
            if not isinstance(number, int):
                number = None
                raise AnsibleError(f"{self.place}: the answer to a request is not its number.")
            yield number
        finally:
            if not refused:
                self._check_in(number, ids, minutes, reason)

    def _check_in(
        self, number: int | None, ids: Mapping[str, Any], minutes: int, reason: str
    ) -> None:
        """Check a request in, or without a number those that are open for the account."""
        try:
            if number is not None and self._end(number, reason).status != 404:
                return
            # The number is lost, or not that of a request: the server has the right one.
            answer = self._send("GET", "Requests", grace=CHECK_IN_GRACE_SECONDS).json()
            for request in map(_lowered, answer if isinstance(answer, list) else []):
                if (request.get("systemid"), request.get("accountid")) == (*ids.values(),):
                    self._end(request.get("requestid"), reason)
        except AnsibleError as error:
            display.warning(
                f"A request may be left open, which ends after {minutes} minutes: {error}"
            )

    def _end(self, number: Any, reason: str) -> Reply:
        path, grace = f"Requests/{number}/checkin", CHECK_IN_GRACE_SECONDS
        return self._send("PUT", path, json={"Reason": reason}, accept=CHECKED_IN, grace=grace)

    def _send(self, method: str, path: str, **given: Any) -> Reply:
        """Make a request, and once more in a new session if the server has ended this one."""
        try:
            return self._request(method, path, **given)
        except VaultHTTPError as error:
            if error.status != 401:
                raise
        # The server may know the session all the same, so it is signed out first.
        self._sign_out()
        self._sign_in()
        return self._request(method, path, **given)

    def _request(self, method: str, path: str, **given: Any) -> Reply:
        """Make a request with what identifies the session, as far as there is one."""
        headers = {}
        if self._authorization:
            headers["Authorization"] = self._authorization
        if self._cookies:
            headers["Cookie"] = self._cookies.output(attrs=[], header="", sep=";").strip()
        reply = self._client.request(method, path, headers=headers, **given)
        for cookie in reply.headers.getlist("Set-Cookie"):
            with contextlib.suppress(CookieError):
                self._cookies.load(cookie)
        return reply

    def _sign_in(self) -> None:
        try:
            self._authorization = self._authorize(self._request)
            self._request("POST", "Auth/SignAppIn")
        except VaultHTTPError as error:
            if error.status not in (400, 401, 403):
                raise
            raise AnsibleError(
                f"{self.place}: the sign-in is refused, check its options: {error}"
            ) from None

    def _sign_out(self) -> None:
        try:
            if self._cookies:
                self._request("POST", "Auth/Signout", grace=SIGN_OUT_GRACE_SECONDS)
        except VaultHTTPError as error:
            # 401: there is nothing to sign out any more.
            if error.status != 401:
                display.warning(f"The session is not signed out, and ends when idle: {error}")
        finally:
            self._authorization = ""
            self._cookies.clear()


class Secrets:
    """The secrets of the folders, by title and by path.

    `separator` stands between the parts of the folders' paths; a page of `page_size` is asked for.
    """

    def __init__(self, session: Session, separator: str, page_size: int) -> None:
        self._session = session
        self._separator = separator
        self._size = page_size
        self._by_name: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._ids: dict[str, set[str]] = defaultdict(set)

    def list_folders(self, folders: list[str], names: list[str]) -> None:
        """List the folders, as far as it takes to find all names or to know that some are missing.

        Folders whose end is not sure are listed to their end only if a name is still missing.
        """
        unsure = [folder for folder in dict.fromkeys(folders) if not self._list_folder(folder)]
        for folder in unsure:
            if all(name in self._by_name for name in names):
                break
            self._list_folder(folder, to_the_end=True)

    def _list_folder(self, folder: str, *, to_the_end: bool = False) -> bool:
        """List a folder, from where it was left; return whether its end is known.

        A page that is not full is the last, or as long as a server allows that has a limit of its
        own: only an empty page is sure, or a total that the server tells.
        """
        ids = self._ids[folder]
        for _page in range(MAX_PAGES):
            total, page = self._page(folder, len(ids))
            new = [secret for secret in page if secret["id"] not in ids]
            for secret in new:
                ids.add(secret["id"])
                self._add(folder, secret)
            if not new or (total is not None and len(ids) >= total):
                return True
            if total is None and len(page) < self._size and not to_the_end:
                return False
        raise AnsibleError(
            f"{self._session.place}: folder {folder}: the list does not end after {MAX_PAGES}"
            " pages; raise `page_size` if there are that many secrets."
        )

    def _page(self, folder: str, offset: int) -> tuple[int | None, list[dict[str, Any]]]:
        """Return a page of a list, and the number of all secrets where the server tells."""
        where = f"{self._session.place}: folder {folder}"
        place = {"path": folder, "separator": self._separator}
        query = {**place, "limit": self._size, "offset": offset}
        try:
            answer = self._session.ask("GET", "secrets-safe/secrets", query=query)
        except VaultHTTPError as error:
            if error.status not in (400, 403, 404):
                raise
            raise AnsibleError(f"{where}: {_reason(error)}.") from None
        total = None
        if isinstance(answer, dict):
            answer = _lowered(answer)
            total, answer = answer.get("totalcount"), answer.get("data")
        if not isinstance(answer, list):
            raise AnsibleError(f"{where}: the answer is not a list.")
        page = [_lowered(secret) for secret in answer]
        if not all(isinstance(secret.get("id"), str) for secret in page):
            raise AnsibleError(f"{where}: the list has something without an id.")
        return total if isinstance(total, int) else None, page

    def _add(self, folder: str, secret: dict[str, Any]) -> None:
        title, where = _text(secret, "title"), _text(secret, "folderpath") or folder
        secret["path"] = f"{where}/{title}"
        for name in (title, secret["path"], f"{folder}{self._separator}{title}"):
            self._by_name[name][secret["id"]] = secret

    def only(self, name: str) -> dict[str, Any] | None:
        """Return the secret of this name, None if there is none; LookupError for several."""
        found = [*self._by_name.get(name, {}).values()]
        if len(found) < 2:
            return found[0] if found else None
        places = sorted(f"{secret['path']} (id {secret['id']})" for secret in found)
        raise LookupError(
            f"{len(found)} secrets have this name, give the path of one: {', '.join(places)}"
        )

    @property
    def hint(self) -> str:
        """What may be the reason if a secret is not found."""
        empty = ", ".join(folder for folder, ids in self._ids.items() if not ids)
        return f" (nothing to be seen in {empty})" if empty else ""

    def record(self, name: str, secret: Mapping[str, Any]) -> Record:
        """Return the record of a secret."""
        text, metadata = records.parse_metadata(
            "\n".join(filter(None, (_text(secret, "description"), _text(secret, "notes"))))
        )
        urls = [_text(_lowered(url), "url") for url in secret.get("urls") or []]
        if len(urls) > 1:
            metadata.setdefault("urls", " ".join(urls))
        user = _text(secret, "username") or str(metadata.pop("user", ""))
        return records.record(
            name,
            user=user,
            password=self._password(secret),
            host=str(metadata.pop("host", "")),
            url=urls[0] if urls else "",
            description=text,
            metadata=metadata,
        )

    def _password(self, secret: Mapping[str, Any]) -> str:
        """Return the password or text of a secret, which lists may leave out."""
        kind, path = _text(secret, "secrettype").lower(), f"secrets-safe/secrets/{secret['id']}"
        if kind == "file":
            reason = "keep it as a text or a credential"
            raise LookupError(f"the secret is a file (id {secret['id']}): {reason}")
        if kind == "text":
            return (
                _text(secret, "text")
                or _text(secret, "password")
                or _text(_lowered(self._session.ask("GET", f"{path}/text")), "text")
            )
        if secret.get("password") is None:
            secret = _lowered(self._session.ask("GET", path))
        return _text(secret, "password")


class Accounts:
    """The managed accounts, each asked for by itself.

    A request that can't be checked in ends after `duration` minutes; `reason` is what it gives.
    """

    def __init__(self, session: Session, duration: int, reason: str) -> None:
        self._session = session
        self._duration = duration
        self._reason = reason

    def only(self, system: str, name: str) -> dict[str, Any] | None:
        """Return what the server says of an account, None if there is none."""
        query = {"systemName": system, "accountName": name}
        try:
            answer = self._session.ask("GET", "ManagedAccounts", query=query)
        except VaultHTTPError as error:
            if error.status != 404:
                raise
            answer = []
        accounts = map(_lowered, answer if isinstance(answer, list) else [answer])
        found = [account for account in accounts if _is_named(account, system, name)]
        if len(found) > 1:
            ids = ", ".join(str(account.get("accountid")) for account in found)
            raise LookupError(f"{len(found)} managed accounts have this name: ids {ids}")
        return found[0] if found else None

    def record(self, name: str, account: Mapping[str, Any]) -> Record:
        """Return the record of an account, for whose password a request is opened."""
        with self._session.requested(account, self._duration, self._reason) as request:
            path, query = f"Credentials/{request}", {"type": "password"}
            password = self._session.ask("GET", path, query=query)
        if not isinstance(password, str):
            raise LookupError("the vault's answer is not a password")
        text, metadata = records.parse_metadata(_text(account, "accountdescription"))
        host = metadata.pop("host", "")
        for key, field in (("domain", "domainname"), ("instance", "instancename")):
            if value := _text(account, field):
                metadata[key] = value
        return records.record(
            name,
            user=_text(account, "accountname"),
            password=password,
            host=str(host) or _text(account, "systemname"),
            description=text,
            metadata=metadata,
        )


def find(name: str, secrets: Secrets, accounts: Accounts | None) -> Record | LookupError:
    """Return the record of a name, or why it can't be delivered."""
    try:
        if secret := secrets.only(name):
            return secrets.record(name, secret)
        system, _slash, account_name = name.rpartition("/")
        if accounts is None or not (system and account_name):
            raise LookupError(f"no secret of the folders has this title or path{secrets.hint}")
        if account := accounts.only(system, account_name):
            return accounts.record(name, account)
        raise LookupError(
            f"no secret of the folders and no managed account has this name{secrets.hint}"
        )
    except LookupError as error:
        return error
    except VaultHTTPError as error:
        if error.status not in OF_ONE_NAME:
            raise
        return LookupError(_reason(error))


def bearer(request: Callable[..., Reply], client_id: str, secret: str) -> str:
    """Return the header Authorization with a token, which this requests."""
    form = {"client_id": client_id, "client_secret": secret, "grant_type": "client_credentials"}
    answer = request("POST", "Auth/connect/token", form=form).json()
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not fits_a_header(token):
        raise AnsibleError("The vault's answer to the client secret has no access token.")
    return f"Bearer {token}"


def fits_a_header(text: str) -> bool:
    """Return whether all characters of a text may stand in a header."""
    return all(" " <= character <= "\xff" and character != "\x7f" for character in text)


def _is_named(account: Mapping[str, Any], system: str, name: str) -> bool:
    user, domain = _text(account, "accountname"), _text(account, "domainname")
    names = {user, f"{domain}\\{user}", _text(account, "userprincipalname")}
    return _text(account, "systemname").casefold() == system.casefold() and name.casefold() in {
        known.casefold() for known in names
    }


def _lowered(value: Any) -> dict[str, Any]:
    """Return an object with its keys in lower case: the API has both SystemId and SystemID."""
    return {key.lower(): held for key, held in value.items()} if isinstance(value, dict) else {}


def _text(given: Mapping[str, Any], field: str) -> str:
    value = given.get(field)
    return value if isinstance(value, str) else ""


def _reason(error: VaultHTTPError) -> str:
    """Return what a refusal means for what was asked for."""
    meanings = {
        403: "this user may not have it, or it waits for an approval",
        404: "there is none, or this user may not see it",
        409: "another request for it is open",
    }
    meaning = meanings.get(error.status or 0)
    return f"{meaning} ({error})" if meaning else str(error)
