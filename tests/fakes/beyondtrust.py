"""BeyondTrust Password Safe, public API v3, as its vendor documents it and its own client uses it.

What those two don't know is refused, so that a client that guesses fails here. A session is signed
in by a token or by an API key with runas, and lives in a cookie. The fake remembers `sessions` that
nobody signed out and `releases` of accounts that nobody checked in.

The data, all keys optional:

clients   OAuth client id -> client secret
keys      API key -> {user: password, or null where the API registration asks for none}
secrets   Title, FolderPath, and of the API's fields those that matter; Urls are texts here, Content
          is what a file holds
accounts  SystemName, AccountName, Password, and of the API's fields those that matter; Forbidden:
          may not be requested, Unapproved: requests wait for an approver
wrapped   true: lists of secrets are wrapped as since API 3.2, whatever version is asked for
unlisted  fields that lists of secrets leave empty, out of Password and Text
most      secrets in one list at most, whatever limit is asked for
loose     true: accounts are found by parts of the names asked for
balanced  true: a cookie of a load balancer comes with the token, and has to come back

Faults of its own: endless_pages, repeated_pages (of the lists of secrets), expired (sessions and
tokens are forgotten before the request is served), odd_object, odd_list (the request is served, but
the reply is {} or [{}]).
"""

from __future__ import annotations

import re
import secrets
import threading
import uuid
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

if __package__:
    from .faults import Answer, Fake, Refusal, Request, serve
else:  # Run as a program.
    from faults import Answer, Fake, Refusal, Request, serve

BASE = "/BeyondTrust/api/public/v3"
COOKIE = "ASP.NET_SessionId"
NODE = "lb_node"
LIMIT = 1000

CREDENTIAL = ("Username", "Password")
TEXT = ("Text",)
FILE = ("FileName", "FileHash")
LISTED = (*CREDENTIAL, *FILE, *TEXT, "SecretType")
LIST_PARAMETERS = {
    "path",
    "separator",
    "title",
    "afterdate",
    "limit",
    "offset",
    "version",
    "decrypt",
    "favorite",
}
ACCOUNT_PARAMETERS = {
    "systemname",
    "accountname",
    "systemid",
    "workgroupname",
    "applicationdisplayname",
    "ipaddress",
    "type",
    "limit",
    "offset",
}
REQUEST_FIELDS = {
    "AccessPolicyScheduleID",
    "AccessType",
    "AccountID",
    "ApplicationID",
    "ConflictOption",
    "DurationMinutes",
    "Reason",
    "RotateOnCheckin",
    "SystemID",
    "TicketNumber",
    "TicketSystemID",
}
# Of an account: what the API never shows.
HIDDEN = {"Password", "Forbidden", "Unapproved"}


@dataclass
class Release:
    """A request for an account, and whether it is still open."""

    number: int
    user: str
    account: dict[str, Any]
    minutes: int
    reason: str
    option: str | None
    is_open: bool = True


class BeyondTrust(Fake):
    """BeyondTrust Password Safe."""

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.tokens: dict[str, str] = {}
        self.sessions: dict[str, str] = {}
        # All tokens and cookies there ever were.
        self.issued: list[str] = []
        self.signed_in = 0
        self.releases: list[Release] = []
        self._state = threading.RLock()
        self._logged = threading.Condition()

    @property
    def api(self) -> str:
        """Return the API's URL."""
        return self.url + BASE

    def open_releases(self) -> list[Release]:
        """Return the requests for accounts that nobody has checked in."""
        return [release for release in self.releases if release.is_open]

    def expire(self) -> None:
        """Forget all sessions and tokens, as after twenty idle minutes."""
        with self._state:
            self.sessions.clear()
            self.tokens.clear()

    def log(self, connection: int, request: Request, status: int | None) -> None:
        """Note a request, and tell who waits for it."""
        super().log(connection, request, status)
        with self._logged:
            self._logged.notify_all()

    def wait_for(self, path: str) -> None:
        """Wait until there was a request whose path this matches."""
        with self._logged:
            assert self._logged.wait_for(
                lambda: any(re.search(path, request["path"]) for request in self.requests), 60
            )

    def answer(self, request: Request) -> Answer:
        """Return the reply, or raise Refusal."""
        if not request.path.lower().startswith(f"{BASE}/".lower()):
            raise Refusal(404, "no such path")
        # Neither paths nor parameters care for case.
        request.query = {name.lower(): value for name, value in request.query.items()}
        if request.fault == "expired":
            self.expire()
        path, known = request.path[len(BASE) + 1 :], False
        for method, pattern, handler in ROUTES:
            if not (match := re.fullmatch(pattern, path, re.IGNORECASE)):
                continue
            known = True
            if method == request.method:
                with self._state:
                    answer = handler(self, request, *match.groups())
                odd = {"odd_object": {}, "odd_list": [{}]}
                return Answer(odd[request.fault]) if request.fault in odd else answer
        raise Refusal(405 if known else 404, "no such path or method")

    # Authentication

    def _token(self, request: Request) -> Answer:
        form = request.form()
        if {*form} != {"client_id", "client_secret", "grant_type"}:
            raise Refusal(400, "invalid_request")
        if form["grant_type"] != "client_credentials":
            raise Refusal(400, "unsupported_grant_type")
        if self._given("clients", {}).get(form["client_id"]) != form["client_secret"]:
            raise Refusal(400, "invalid_client")
        token = secrets.token_urlsafe(32)
        self.tokens[token] = form["client_id"]
        self.issued.append(token)
        return Answer(
            {
                "access_token": token,
                "expires_in": 3600,
                "token_type": "Bearer",
                "scope": "publicapi",
            },
            headers={"Set-Cookie": f"{NODE}=a1; path=/"} if self._given("balanced", False) else {},
        )

    def _sign_in(self, request: Request) -> Answer:
        user = self._authorized(request.headers.get("Authorization", ""))
        if user is None or (self._given("balanced", False) and not _cookie(request, NODE)):
            raise Refusal(401, "the authorization fails, or is another node's")
        cookie = secrets.token_hex(12)
        self.sessions[cookie] = user
        self.issued.append(cookie)
        self.signed_in += 1
        return Answer(
            {"UserId": 1, "SID": None, "EmailAddress": None, "UserName": user, "Name": user},
            headers={"Set-Cookie": f"{COOKIE}={cookie}; path=/; secure; HttpOnly; SameSite=Lax"},
        )

    def _sign_out(self, request: Request) -> Answer:
        self._user(request)
        del self.sessions[_cookie(request)]
        return Answer(text="")

    def _authorized(self, header: str) -> str | None:
        """Return whom a header stands for."""
        scheme, _, rest = header.partition(" ")
        if scheme == "Bearer":
            return self.tokens.get(rest)
        match = re.fullmatch(r"key=([^;]+); *runas=([^;]+);(?: *pwd=\[(.*)\];)?", rest)
        if scheme != "PS-Auth" or not match:
            return None
        key, user, password = match.groups()
        users = self._given("keys", {}).get(key, {})
        return user if user in users and users[user] in (None, password) else None

    def _user(self, request: Request) -> str:
        """Return whose session it is; a header that is sent has to be its user's too."""
        user = self.sessions.get(_cookie(request))
        header = request.headers.get("Authorization")
        if user is None or (header and self._authorized(header) != user):
            raise Refusal(401, "not signed in")
        return user

    # Secrets Safe

    def _list_secrets(self, request: Request) -> Answer:
        self._user(request)
        query = _known(request, LIST_PARAMETERS)
        limit, offset = _number(query, "limit", LIMIT, 1), _number(query, "offset", 0, 0)
        limit = min(limit, self._given("most", limit))
        separator, version = query.get("separator", "/"), query.get("version", "3.0")
        if len(separator) != 1 or version not in {"3.0", "3.1", "3.2"}:
            raise Refusal(400, "separator or version is not valid")
        found = self._secrets()
        if "path" in query:
            folder = "/".join(query["path"].split(separator))
            found = [secret for secret in found if secret["FolderPath"] == folder]
        if "title" in query:
            found = [secret for secret in found if secret["Title"] == query["title"]]
        if request.fault == "repeated_pages":
            offset = 0
        page, total = found[offset : offset + limit], len(found)
        if request.fault == "endless_pages":
            page, total = _invented(found[0], offset, limit), offset + 2 * limit
        hidden = dict.fromkeys(self._given("unlisted", []))
        shown = [_shown(secret, LISTED) | hidden for secret in page]
        if version == "3.2" or self._given("wrapped", False):
            return Answer({"TotalCount": total, "Data": shown})
        return Answer(shown)

    def _credential_secret(self, request: Request, number: str) -> Answer:
        return Answer(_shown(self._secret(request, number, "Credential"), CREDENTIAL))

    def _text_secret(self, request: Request, number: str) -> Answer:
        return Answer(_shown(self._secret(request, number, "Text"), TEXT))

    def _file_secret(self, request: Request, number: str) -> Answer:
        return Answer(_shown(self._secret(request, number, "File"), FILE))

    def _download(self, request: Request, number: str) -> Answer:
        content = self._secret(request, number, "File").get("Content", "")
        return Answer(text=content, content_type="application/octet-stream")

    def _secrets(self) -> list[dict[str, Any]]:
        """Return the secrets with the fields that the data leave out."""
        given = self._given("secrets", [])
        listed = [
            {"Id": secret_id(index), "SecretType": "Credential", **secret}
            for index, secret in enumerate(given)
        ]
        # In a list, a text is where a password is: the vendor's client reads it there.
        return [
            {**secret, "Password": secret["Text"]} if secret["SecretType"] == "Text" else secret
            for secret in listed
        ]

    def _secret(self, request: Request, number: str, kind: str) -> dict[str, Any]:
        self._user(request)
        _known(request, {"version", "decrypt"})
        for secret in self._secrets():
            if secret["Id"] == number.lower() and secret["SecretType"] == kind:
                return secret
        raise Refusal(404, "no such secret")

    # Managed accounts

    def _list_accounts(self, request: Request) -> Answer:
        self._user(request)
        query = _known(request, ACCOUNT_PARAMETERS)
        limit, offset = _number(query, "limit", LIMIT, 1), _number(query, "offset", 0, 0)
        system, name = query.get("systemname"), query.get("accountname")
        found = [
            account
            for account in self._accounts()
            if (system is None or account["SystemName"].lower() == system.lower())
            and (name is None or name.lower() in _names(account))
        ]
        if self._given("loose", False):
            found = [
                account
                for account in self._accounts()
                if (system or "") in account["SystemName"]
                and (name or "") in account["AccountName"]
            ]
        if system and name and not found:
            raise Refusal(404, "no such account")
        shown = [
            {key: value for key, value in account.items() if key not in HIDDEN}
            for account in found[offset : offset + limit]
        ]
        return Answer(shown[0] if system and name and len(found) == 1 else shown)

    def _request_account(self, request: Request) -> Answer:
        user, given = self._user(request), request.json()
        minutes, option = given.get("DurationMinutes"), given.get("ConflictOption")
        reason = given.get("Reason") or ""
        if {*given} - REQUEST_FIELDS or option not in {None, "reuse", "renew"}:
            raise Refusal(400, "an unknown field or option")
        if not isinstance(minutes, int) or not 0 < minutes <= 525600 or len(reason) > 1000:
            raise Refusal(400, "the duration or the reason is not valid")
        account = self._account(given.get("SystemID"), given.get("AccountID"))
        if account.get("Forbidden"):
            raise Refusal(403, "4031")
        before = [
            release
            for release in self.open_releases()
            if (release.user, release.account["AccountId"]) == (user, account["AccountId"])
        ]
        if before and option is None:
            raise Refusal(409, "the user has an active request for this account")
        if before and option == "reuse":
            return Answer(before[0].number)
        for release in before:
            release.is_open = False
        number = 1001 + len(self.releases)
        self.releases.append(Release(number, user, account, minutes, reason, option))
        return Answer(number, 201)

    def _list_requests(self, request: Request) -> Answer:
        user = self._user(request)
        _known(request, {"status", "queue"})
        return Answer(
            [
                {
                    "RequestID": release.number,
                    "SystemID": release.account["SystemId"],
                    "SystemName": release.account["SystemName"],
                    "AccountID": release.account["AccountId"],
                    "AccountName": release.account["AccountName"],
                    "Status": "Pending" if release.account.get("Unapproved") else "Active",
                    "AccessType": "View",
                    "Reason": release.reason,
                }
                for release in self.open_releases()
                if release.user == user
            ]
        )

    def _credentials(self, request: Request, number: str) -> Answer:
        release = self._release(request, number)
        if _known(request, {"type"}).get("type", "password") != "password":
            raise Refusal(404, "no such credential")
        if release.account.get("Unapproved"):
            raise Refusal(403, "4034")
        return Answer(release.account["Password"])

    def _check_in(self, request: Request, number: str) -> Answer:
        release = self._release(request, number)
        if {*request.json()} - {"Reason"}:
            raise Refusal(400, "an unknown field")
        release.is_open = False
        return Answer(status=204)

    def _release(self, request: Request, number: str) -> Release:
        user = self._user(request)
        for release in self.open_releases():
            if (release.number, release.user) == (int(number), user):
                return release
        raise Refusal(404, "no such request, or it has ended")

    def _accounts(self) -> list[dict[str, Any]]:
        """Return the accounts with the fields that the data leave out."""
        given = self._given("accounts", [])
        systems = [*dict.fromkeys(account["SystemName"] for account in given)]
        return [
            {
                "PlatformID": 2,
                "SystemId": 11 + systems.index(account["SystemName"]),
                "DomainName": None,
                "AccountId": 501 + index,
                "InstanceName": "",
                "UserPrincipalName": "",
                "ApplicationID": None,
                "ApplicationDisplayName": None,
                "DefaultReleaseDuration": 120,
                "MaximumReleaseDuration": 10079,
                "LastChangeDate": "2026-11-01T00:00:00",
                "NextChangeDate": None,
                "IsChanging": False,
                "IsISAAccess": False,
                "AccountDescription": "",
                **account,
            }
            for index, account in enumerate(given)
        ]

    def _account(self, system: Any, number: Any) -> dict[str, Any]:
        for account in self._accounts():
            if (account["SystemId"], account["AccountId"]) == (system, number):
                return account
        raise Refusal(404, "no such account")

    def _given(self, key: str, default: Any) -> Any:
        return (self.data or {}).get(key, default)


_ID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
ROUTES = [
    ("POST", "Auth/connect/token", BeyondTrust._token),
    ("POST", "Auth/SignAppIn", BeyondTrust._sign_in),
    ("POST", "Auth/Signout", BeyondTrust._sign_out),
    ("GET", "Secrets-Safe/Secrets", BeyondTrust._list_secrets),
    ("GET", f"Secrets-Safe/Secrets/{_ID}", BeyondTrust._credential_secret),
    ("GET", f"Secrets-Safe/Secrets/{_ID}/text", BeyondTrust._text_secret),
    ("GET", f"Secrets-Safe/Secrets/{_ID}/file", BeyondTrust._file_secret),
    ("GET", f"Secrets-Safe/Secrets/{_ID}/file/download", BeyondTrust._download),
    ("GET", "ManagedAccounts", BeyondTrust._list_accounts),
    ("GET", "Requests", BeyondTrust._list_requests),
    ("POST", "Requests", BeyondTrust._request_account),
    ("PUT", r"Requests/([0-9]+)/checkin", BeyondTrust._check_in),
    ("GET", r"Credentials/([0-9]+)", BeyondTrust._credentials),
]


def secret_id(index: int) -> str:
    """Return the id of the secret at this place in the data, if it brings none."""
    return _uuid(str(index))


def _uuid(text: str) -> str:
    return str(uuid.uuid5(uuid.UUID(int=0), text))


def _cookie(request: Request, name: str = COOKIE) -> str:
    cookies = SimpleCookie(request.headers.get("Cookie", ""))
    return cookies[name].value if name in cookies else ""


def _known(request: Request, names: set[str]) -> dict[str, str]:
    """Return the query; unknown parameters are refused."""
    if unknown := {*request.query} - names:
        raise Refusal(400, f"there is no parameter {min(unknown)}")
    return request.query


def _number(query: dict[str, str], name: str, default: int, least: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise Refusal(400, f"{name} is not a number of at least {least}")
    return int(text)


def _names(account: dict[str, Any]) -> set[str]:
    """Return what an account may be asked for by: one of a domain, with the domain."""
    name, domain = account["AccountName"].lower(), account["DomainName"]
    if not domain:
        return {name}
    return {f"{domain.lower()}\\{name}", account["UserPrincipalName"].lower()} - {""}


def _invented(secret: dict[str, Any], offset: int, limit: int) -> list[dict[str, Any]]:
    return [
        {**secret, "Id": _uuid(f"invented {number}"), "Title": f"Invented {number}"}
        for number in range(offset, offset + limit)
    ]


def _shown(secret: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a secret as the API shows it; what its type lacks is null."""
    folder = secret["FolderPath"]
    return {
        "Id": secret["Id"],
        "Title": secret["Title"],
        "Description": secret.get("Description"),
        **{name: secret.get(name) for name in fields},
        "FolderId": _uuid(folder),
        "Folder": folder.rpartition("/")[2],
        "FolderPath": folder,
        "CreatedOn": "2026-11-01T00:00:00",
        "CreatedBy": "admin",
        "ModifiedOn": "2026-11-01T00:00:00",
        "ModifiedBy": "admin",
        "Owners": [{"OwnerId": 1, "Owner": "admin", "Email": "admin@example.org"}],
        "OwnerId": 1,
        "Notes": secret.get("Notes"),
        "Urls": [
            {"Id": _uuid(url), "CredentialId": secret["Id"], "Url": url}
            for url in secret.get("Urls", [])
        ],
    }


if __name__ == "__main__":
    serve(BeyondTrust)
