# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of BeyondTrust Password Safe."""

from __future__ import annotations

DOCUMENTATION = r"""
name: beyondtrust
short_description: Records of BeyondTrust Password Safe (Secrets Safe and managed accounts)
version_added: 0.1.0
description:
  - Returns one record per name out of BeyondTrust Password Safe (public API version 3), in the
    order of the names. One session serves all names, so ask for all of them in one lookup.
  - Names are looked for in Secrets Safe first. Each of O(folders) is listed once for all names, in
    pages of O(page_size). What no folder has is looked for among the managed accounts if it has the
    form C(System/Account), which costs four requests for each name.
  - A secret's user name, password and first URL become C(user), C(pass) and C(url); the password of
    a text secret is its text. Secrets that are files can't be delivered.
  - >-
    In its description and notes, C(key=value) words and C(key: value) lines become C(metadata), the
    rest becomes C(description). C(host) is the C(host) among them, else the host of the URL;
    C(user) is the C(user) among them where the secret has no user name. Of several URLs,
    C(metadata.urls) has all.
  - A managed account's C(user) is its account name, and C(host) the name of its system unless its
    description has a C(host). C(metadata.domain) and C(metadata.instance) are its domain and its
    database instance.
  - Requests for managed accounts are checked in and the session is signed out, after an error or an
    interruption too. A request of the same user that is open for the same account is used, and
    checked in with it, so give the lookup an API user of its own.
notes:
  - A real server was not reachable when this was written. What it expects of one comes from the
    vendor's documentation and public clients; it is tested with a server made after them, which is
    tested with the vendor's own client.
  - Accounts whose requests need an approval can't be delivered. Accounts whose password is changed
    after each release have another one by the time the record is used.
author:
  - The caspian-deploy maintainers (@caspian-deploy)
requirements:
  - urllib3 >= 2 on the controller
options:
  _terms:
    description:
      - The names to look up. A name is a secret's title, or its path C(Folder/Sub/Title) where
        titles repeat, or the C(System/Account) of a managed account.
      - What follows the last slash is the account. One of a domain is C(System/DOMAIN\account) or
        C(System/account@domain).
    type: list
    elements: str
    required: true
  url:
    description:
      - The server, C(https://vault.example.org). A path may follow where it is not
        C(/BeyondTrust/api/public/v3).
    type: str
    required: true
    vars:
      - name: caspian_beyondtrust_url
    env:
      - name: CASPIAN_BEYONDTRUST_URL
  client_id:
    description: OAuth client id of the API registration. O(password) is then the client secret.
    type: str
    vars:
      - name: caspian_beyondtrust_client_id
    env:
      - name: CASPIAN_BEYONDTRUST_CLIENT_ID
  runas:
    description:
      - The user that an API key acts for, instead of O(client_id). O(password) is then the key.
    type: str
    vars:
      - name: caspian_beyondtrust_runas
    env:
      - name: CASPIAN_BEYONDTRUST_RUNAS
  runas_password_file:
    description:
      - A file that holds the password of O(runas), where the API registration asks for it; a final
        newline does not count. Others must not be able to use it.
    type: path
    vars:
      - name: caspian_beyondtrust_runas_password_file
    env:
      - name: CASPIAN_BEYONDTRUST_RUNAS_PASSWORD_FILE
  runas_password:
    description: The password of O(runas) itself, instead of O(runas_password_file).
    type: str
    vars:
      - name: caspian_beyondtrust_runas_password
    env:
      - name: CASPIAN_BEYONDTRUST_RUNAS_PASSWORD
  folders:
    description: Paths of the Secrets Safe folders that are searched, C(Team/Databases).
    type: list
    elements: str
    default: []
    vars:
      - name: caspian_beyondtrust_folders
    env:
      - name: CASPIAN_BEYONDTRUST_FOLDERS
  separator:
    description: What separates the parts of O(folders), where their names have slashes.
    type: str
    default: /
    vars:
      - name: caspian_beyondtrust_separator
    env:
      - name: CASPIAN_BEYONDTRUST_SEPARATOR
  page_size:
    description: How many secrets one request lists. The server's own default is 1000.
    type: int
    default: 1000
    vars:
      - name: caspian_beyondtrust_page_size
    env:
      - name: CASPIAN_BEYONDTRUST_PAGE_SIZE
  managed_accounts:
    description: Whether names that no folder has are looked for among the managed accounts.
    type: bool
    default: true
    vars:
      - name: caspian_beyondtrust_managed_accounts
    env:
      - name: CASPIAN_BEYONDTRUST_MANAGED_ACCOUNTS
  duration:
    description:
      - Minutes after which a request for a managed account ends by itself, if the lookup can't
        check it in.
    type: int
    default: 5
    vars:
      - name: caspian_beyondtrust_duration
    env:
      - name: CASPIAN_BEYONDTRUST_DURATION
  reason:
    description: The reason that requests for managed accounts and their check-ins give.
    type: str
    default: caspian.airflow
    vars:
      - name: caspian_beyondtrust_reason
    env:
      - name: CASPIAN_BEYONDTRUST_REASON
extends_documentation_fragment:
  - caspian.airflow.vault
  - caspian.airflow.vault_http
"""

EXAMPLES = r"""
- name: Use one password of a folder
  ansible.builtin.uri:
    url: https://{{ source.host }}/health
    url_username: "{{ source.user }}"
    url_password: "{{ source.pass }}"
  vars:
    source: "{{ lookup('caspian.airflow.beyondtrust', 'EBI-ETL-DEV-01', folders=['Team/ETL'],
      url='https://vault.example.org', client_id='0f8fad5b-d9cb-469f-a165-70867728950e',
      password_file='/srv/vault.secret') }}"
  no_log: true

- name: Fetch many in one session, secrets and managed accounts
  ansible.builtin.set_fact:
    records: "{{ query('caspian.airflow.beyondtrust', *names, missing='report') }}"
  vars:
    names:
      - EBI-ETL-DEV-01
      - Team/ETL/EBI-ETL-PROD-01
      - db1.example.org/etl
      - db2.example.org/CORP\etl
    caspian_beyondtrust_url: https://vault.example.org
    caspian_beyondtrust_runas: svc-airflow
    caspian_vault_password_file: /srv/vault.key
    caspian_beyondtrust_folders: [Team/ETL]
  no_log: true
"""

RETURN = r"""
_raw:
  description:
    - One record per name. All vault lookups of this collection return these keys.
    - With O(missing=report), a name that can't be delivered has C(name) and C(error) alone.
  type: list
  elements: dict
  contains:
    name:
      description: The name that was asked for.
      type: str
    user:
      description: User name; empty where the vault has none, as with all texts.
      type: str
    pass:
      description: Password.
      type: str
    host:
      description: Host without port.
      type: str
    url:
      description: URL.
      type: str
    description:
      description: Free text.
      type: str
    metadata:
      description: Anything else by key; the values are texts, numbers or truth values.
      type: dict
    protected:
      description: Empty, since this vault marks no field of its records.
      type: list
      elements: str
    expires_at:
      description: V(null), since this vault says of no record when it expires.
      type: str
  sample:
    - name: EBI-ETL-DEV-01
      user: etl
      pass: a password
      host: db1.example.org
      url: postgresql://db1.example.org:5432/ebi
      description: The nightly load
      metadata: {port: 5432}
      protected: []
      expires_at: null
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.caspian.airflow.plugins.plugin_utils import records
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http import (
    Reply,
    VaultClient,
    VaultHTTPError,
    origin,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import VaultLookup

BASE = "/BeyondTrust/api/public/v3"
# A list that is longer has no end.
MOST_PAGES = 200
# What the answer to a request for one secret or account may say about this one alone.
OF_ONE_NAME = (400, 403, 404, 409, 500)
# 404: the request has ended already.
CHECKED_IN = (200, 204, 404)
# Seconds that check-in and sign-out have after the time limit.
CHECK_IN_GRACE = 10.0
SIGN_OUT_GRACE = 20.0

display = Display()

# Gets a function that makes requests; returns the header Authorization.
Authorize = Callable[[Callable[..., Reply]], str]


class LookupModule(VaultLookup):
    """The lookup."""

    def place(self) -> str:
        """Return the server's URL."""
        return origin(self.get_option("url"))

    def fetch(self, names: list[str]) -> dict[str, dict[str, Any] | LookupError]:
        """Serve all names in one session."""
        self._check()
        authorize = self._authorize()
        with self._client() as client, Session(client, self.place(), authorize) as session:
            secrets = self._secrets(session, names)
            return {name: self._found(session, name, secrets) for name in names}

    def _check(self) -> None:
        for option, least, most in (("page_size", 1, 100_000), ("duration", 1, 525_600)):
            if not least <= self.get_option(option) <= most:
                raise AnsibleError(f"{option} must be a number from {least} to {most}.")
        if len(self.get_option("separator")) != 1:
            raise AnsibleError("separator must be one character.")
        if not self.get_option("folders") and not self.get_option("managed_accounts"):
            raise AnsibleError(f"{self.place()}: there is nothing to search: set `folders`.")

    def _client(self) -> VaultClient:
        url = self.get_option("url").rstrip("/")
        with contextlib.suppress(ValueError):  # The client says it better.
            url += "" if urlsplit(url).path else BASE
        names = ("ca_path", "proxy", "timeout", "retries", "total_timeout")
        return VaultClient(url, **{name: self.get_option(name) for name in names})

    def _authorize(self) -> Authorize:
        """Return what makes the header Authorization."""
        client_id, user = self.get_option("client_id"), self.get_option("runas")
        if bool(client_id) == bool(user):
            raise AnsibleError(
                f"{self.place()}: set either `client_id` (OAuth) or `runas` (API key)."
            )
        password, user_password = self.secret("password"), self.secret("runas_password")
        if not password:
            what = "client secret" if client_id else "API key"
            raise AnsibleError(
                f"{self.place()}: the {what} is not given: set `password_file` or"
                " CASPIAN_VAULT_PASSWORD_FILE."
            )
        if client_id:
            return lambda request: _bearer(request, client_id, password)
        header = f"PS-Auth key={password}; runas={user};"
        if user_password:
            header += f" pwd=[{user_password}];"
        if not _fits_a_header(header):
            raise AnsibleError(
                f"{self.place()}: the API key, `runas` or its password has a character that the API"
                " can't take: a line break, or one that is not in Latin-1."
            )
        return lambda _: header

    def _secrets(self, session: Session, names: list[str]) -> Secrets:
        folders = dict.fromkeys(self.get_option("folders"))
        secrets = Secrets(session, self.get_option("separator"), self.get_option("page_size"))
        unsure = [folder for folder in folders if not secrets.list_folder(folder)]
        for folder in unsure:
            if secrets.has_all(names):
                break
            secrets.list_folder(folder, to_the_end=True)
        return secrets

    def _found(self, session: Session, name: str, secrets: Secrets) -> dict[str, Any] | LookupError:
        try:
            if secret := secrets.only(name):
                return _secret_record(session, name, secret)
            system, _, account = name.rpartition("/")
            if not (system and account and self.get_option("managed_accounts")):
                raise LookupError(f"no secret of the folders has this title or path{secrets.hint}")
            if found := _account(session, system, account):
                return self._account_record(session, name, found)
            raise LookupError(
                f"no secret of the folders and no managed account has this name{secrets.hint}"
            )
        except LookupError as error:
            return error
        except VaultHTTPError as error:
            if error.status not in OF_ONE_NAME:
                raise
            return LookupError(_reason(error))

    def _account_record(
        self, session: Session, name: str, account: Mapping[str, Any]
    ) -> dict[str, Any]:
        duration, reason = self.get_option("duration"), self.get_option("reason")
        with session.requested(account, duration, reason) as request:
            password = session.ask("GET", f"Credentials/{request}", query={"type": "password"})
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


class Secrets:
    """The secrets of the folders, by title and by path."""

    def __init__(self, session: Session, separator: str, page_size: int) -> None:
        """Take what separates the parts of the paths of folders, and the number to ask for."""
        self._session = session
        self._separator = separator
        self._size = page_size
        self._by_name: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._ids: dict[str, set[str]] = defaultdict(set)

    def list_folder(self, folder: str, *, to_the_end: bool = False) -> bool:
        """List a folder, from where it was left; return whether its end is known.

        A page that is not full is the last, or as long as a server allows that has a limit of its
        own: only an empty page is sure, or a total that the server tells.
        """
        ids = self._ids[folder]
        for _ in range(MOST_PAGES):
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
            f"{self._session.place}: folder {folder}: the list does not end after {MOST_PAGES}"
            " pages; raise `page_size` if there are that many secrets."
        )

    def _page(self, folder: str, offset: int) -> tuple[int | None, list[dict[str, Any]]]:
        """Return a page of a list, and the number of all secrets where the server tells."""
        where = f"{self._session.place}: folder {folder}"
        query = {
            "path": folder,
            "separator": self._separator,
            "limit": self._size,
            "offset": offset,
        }
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
        for name in {title, secret["path"], f"{folder}{self._separator}{title}"}:
            self._by_name[name][secret["id"]] = secret

    def has_all(self, names: list[str]) -> bool:
        """Return whether there is a secret of each name."""
        return all(name in self._by_name for name in names)

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
        """Return what may be the reason if a secret is not found."""
        empty = ", ".join(folder for folder, ids in self._ids.items() if not ids)
        return f" (nothing to be seen in {empty})" if empty else ""


class Session:
    """A session with the server: signed in at the beginning, and out at the end, come what may."""

    def __init__(self, client: VaultClient, place: str, authorize: Authorize) -> None:
        """Take a client, and what makes the header Authorization."""
        self.place = place
        self._client = client
        self._authorize = authorize
        self._authorization = ""
        self._cookies: SimpleCookie = SimpleCookie()

    def __enter__(self) -> Session:
        """Sign in."""
        try:
            self._sign_in()
        except BaseException:
            self._sign_out()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Sign out."""
        self._sign_out()

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Make a request; return what its answer holds."""
        return self._send(method, path, **given).json()

    @contextlib.contextmanager
    def requested(self, account: Mapping[str, Any], minutes: int, reason: str) -> Iterator[int]:
        """Have a request for an account open, whose number this is."""
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
        """Check a request in, without a number the ones that are open for the account."""
        body = {"Reason": reason}
        try:
            if number is not None:
                path = f"Requests/{number}/checkin"
                reply = self._send("PUT", path, json=body, accept=CHECKED_IN, grace=CHECK_IN_GRACE)
                if reply.status != 404:
                    return
            # The number is lost, or not that of a request: the server has the right one.
            answer = self._send("GET", "Requests", grace=CHECK_IN_GRACE).json()
            for request in map(_lowered, answer if isinstance(answer, list) else []):
                if (request.get("systemid"), request.get("accountid")) == (*ids.values(),):
                    path = f"Requests/{request.get('requestid')}/checkin"
                    self._send("PUT", path, json=body, accept=CHECKED_IN, grace=CHECK_IN_GRACE)
        except AnsibleError as error:
            display.warning(
                f"A request may be left open, which ends after {minutes} minutes: {error}"
            )

    def _send(self, method: str, path: str, **given: Any) -> Reply:
        """Make a request, once more in a new session if the server has ended this one."""
        try:
            return self._request(method, path, **given)
        except VaultHTTPError as error:
            if error.status != 401:
                raise
        # The server may know the session all the same.
        self._sign_out()
        self._sign_in()
        return self._request(method, path, **given)

    def _request(self, method: str, path: str, **given: Any) -> Reply:
        """Make a request with what identifies the session, so far as there is one."""
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
                self._request("POST", "Auth/Signout", grace=SIGN_OUT_GRACE)
        except VaultHTTPError as error:
            # 401: there is nothing to sign out any more.
            if error.status != 401:
                display.warning(f"The session is not signed out, and ends when idle: {error}")
        finally:
            self._authorization = ""
            self._cookies.clear()


def _bearer(request: Callable[..., Reply], client_id: str, secret: str) -> str:
    form = {"client_id": client_id, "client_secret": secret, "grant_type": "client_credentials"}
    answer = request("POST", "Auth/connect/token", form=form).json()
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not _fits_a_header(token):
        raise AnsibleError("The vault's answer to the client secret has no access token.")
    return f"Bearer {token}"


def _fits_a_header(text: str) -> bool:
    return all(" " <= character <= "\xff" and character != "\x7f" for character in text)


def _account(session: Session, system: str, name: str) -> dict[str, Any] | None:
    """Return what the server says of an account, None if there is none."""
    query = {"systemName": system, "accountName": name}
    try:
        answer = session.ask("GET", "ManagedAccounts", query=query)
    except VaultHTTPError as error:
        if error.status != 404:
            raise
        answer = []
    accounts = [_lowered(account) for account in (answer if isinstance(answer, list) else [answer])]
    found = [account for account in accounts if _is_named(account, system, name)]
    if len(found) > 1:
        ids = ", ".join(str(account.get("accountid")) for account in found)
        raise LookupError(f"{len(found)} managed accounts have this name: ids {ids}")
    return found[0] if found else None


def _is_named(account: Mapping[str, Any], system: str, name: str) -> bool:
    user, domain = _text(account, "accountname"), _text(account, "domainname")
    names = {user, f"{domain}\\{user}", _text(account, "userprincipalname")}
    return _text(account, "systemname").casefold() == system.casefold() and name.casefold() in {
        known.casefold() for known in names
    }


def _secret_record(session: Session, name: str, secret: Mapping[str, Any]) -> dict[str, Any]:
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
        password=_password(session, secret),
        host=str(metadata.pop("host", "")),
        url=urls[0] if urls else "",
        description=text,
        metadata=metadata,
    )


def _password(session: Session, secret: Mapping[str, Any]) -> str:
    """Return the password or text of a secret, which lists may leave out."""
    kind, path = _text(secret, "secrettype").lower(), f"secrets-safe/secrets/{secret['id']}"
    if kind == "file":
        raise LookupError(
            f"the secret is a file (id {secret['id']}): keep it as a text or a credential"
        )
    if kind == "text":
        return (
            _text(secret, "text")
            or _text(secret, "password")
            or _text(_lowered(session.ask("GET", f"{path}/text")), "text")
        )
    if secret.get("password") is None:
        secret = _lowered(session.ask("GET", path))
    return _text(secret, "password")


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
    meaning = meanings.get(error.status)
    return f"{meaning} ({error})" if meaning else str(error)
