"""A stand-in for Rackspace PasswordSafe and the identity service before it.

It serves what public clients of PasswordSafe call, and refuses everything else: other paths,
methods, query parameters and bodies, requests without a token or that don't accept JSON. Its data
(the file vault.json of the program; the last line's keys are optional):

    {"users": {"NAME": "PASSWORD"},
     "projects": [{"id": 101, "name": "EBI", "description": ""}],
     "credentials": [{"id": 1, "project_id": 101, "description": "EBI-ETL-DEV-01 env=dev",
                      "hostname": "db1:1433", "username": "etl", "password": "…", "url": ""}],
     "domain": "Rackspace", "page_size": 25, "token_seconds": 86400}

A credential is given out as it stands, so what it lacks is lacking. Faults of its own:
endless_pages, repeated_pages (every page is the first), last_page_repeated (instead of an empty
one), duplicate_names (every record twice, with different ids), expired (the tokens, from now on).
"""

from __future__ import annotations

import re
import secrets
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

if __package__:
    from .faults import Answer, Fake, Refusal, Request, serve
else:  # Run as a program.
    from faults import Answer, Fake, Refusal, Request, serve

CONTENT_TYPE = "application/vnd.passwordsafe.project+json; charset=utf-8"


class PasswordSafe(Fake):
    """A stand-in for Rackspace PasswordSafe."""

    def __init__(self, data: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(data or {}, **options)
        self._tokens: dict[str, float] = {}
        self.data_changed()

    def data_changed(self) -> None:
        """Sort the credentials by project."""
        credentials = defaultdict(list)
        for credential in self.data.get("credentials", []):
            credentials[credential["project_id"]].append({"credential": credential})
        self._credentials = credentials
        self._projects = [{"project": project} for project in self.data.get("projects", [])]

    def expire_tokens(self) -> None:
        """Make all tokens invalid."""
        self._tokens.clear()

    def tokens(self) -> list[str]:
        """Return the tokens that were given out and are valid."""
        return [*self._tokens]

    def answer(self, request: Request) -> Answer:
        """Answer as the contract has it."""
        for pattern, method, function in (
            (r"/v2\.0/tokens", "POST", self._token),
            (r"/projects\.json", "GET", self._list_projects),
            (r"/projects/([0-9]+)/credentials\.json", "GET", self._list_credentials),
            (r"/projects/([0-9]+)/credentials/([0-9]+)", "GET", self._credential),
            (r"/credentials/([0-9]+)/search", "GET", self._search),
        ):
            if match := re.fullmatch(pattern, request.path):
                if request.method != method:
                    raise Refusal(405, f"the method is not {method}")
                if "application/json" not in request.headers.get("Accept", ""):
                    raise Refusal(406, "the client does not accept JSON")
                if method == "GET":
                    self._authorize(request)
                return function(request, *map(int, match.groups()))
        raise Refusal(404, "there is no such path")

    def _token(self, request: Request) -> Answer:
        no_parameters(request)
        given = request.json()
        try:
            login = given["auth"]["passwordCredentials"]
            user, password = login["username"], login["password"]
            domain = given["auth"]["RAX-AUTH:domain"]["name"]
        except (KeyError, TypeError):
            raise Refusal(400, "the body lacks a key") from None
        if given != {
            "auth": {
                "RAX-AUTH:domain": {"name": domain},
                "passwordCredentials": {"username": user, "password": password},
            }
        }:
            raise Refusal(400, "the body has a key too many")
        known = self.data.get("users", {})
        if domain != self.data.get("domain", "Rackspace") or known.get(user) != password:
            raise Refusal(401, "unable to authenticate user with credentials provided")
        token, seconds = secrets.token_hex(16), self.data.get("token_seconds", 86400)
        self._tokens[token] = time.monotonic() + seconds
        expires = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(
            timespec="milliseconds"
        )
        return Answer(
            {"access": {"token": {"id": token, "expires": expires}, "user": {"name": user}}}
        )

    def _authorize(self, request: Request) -> None:
        if request.fault == "expired":
            self.expire_tokens()
        until = self._tokens.get(request.headers.get("X-Auth-Token", ""))
        if until is None or until < time.monotonic():
            raise Refusal(401, "no valid token")

    def _list_projects(self, request: Request) -> Answer:
        return self._page(request, self._projects, self._projects)

    def _list_credentials(self, request: Request, project: int) -> Answer:
        credentials = self._of_project(project)
        return self._page(request, credentials, credentials or [{"credential": {"id": 0}}])

    def _credential(self, request: Request, project: int, wanted: int) -> Answer:
        no_parameters(request)
        return self._one(self._of_project(project), wanted)

    def _search(self, request: Request, wanted: int) -> Answer:
        no_parameters(request)
        return self._one([item for items in self._credentials.values() for item in items], wanted)

    def _of_project(self, project: int) -> list[dict[str, Any]]:
        if not any(item["project"]["id"] == project for item in self._projects):
            raise Refusal(404, "there is no such project")
        return self._credentials.get(project, [])

    def _one(self, items: list[dict[str, Any]], wanted: int) -> Answer:
        for item in items:
            if item["credential"].get("id") == wanted:
                return Answer(item, content_type=CONTENT_TYPE)
        raise Refusal(404, "there is no such credential")

    def _page(
        self, request: Request, items: list[dict[str, Any]], samples: list[dict[str, Any]]
    ) -> Answer:
        if set(request.query) != {"page"} or not re.fullmatch("[1-9][0-9]*", request.query["page"]):
            raise Refusal(400, "the query is not page=N")
        page, size = int(request.query["page"]), self.data.get("page_size", 25)
        if request.fault == "duplicate_names":
            items = [
                again
                for item in items
                for again in (item, renumbered(item, 1_000_000 + number(item)))
            ]
        if request.fault == "repeated_pages":
            page = 1
        if request.fault == "last_page_repeated":
            page = min(page, max(1, -(-len(items) // size)))
        shown = items[(page - 1) * size : page * size]
        if request.fault == "endless_pages" and not shown:
            shown = [renumbered(samples[0], 2_000_000 + page)]
        return Answer(shown, content_type=CONTENT_TYPE)


def no_parameters(request: Request) -> None:
    """Refuse a request that has query parameters."""
    if request.query:
        raise Refusal(400, "the query is not empty")


def number(item: dict[str, Any]) -> int:
    """Return the id in a list's item."""
    (fields,) = item.values()
    return fields.get("id", 0)


def renumbered(item: dict[str, Any], identifier: int) -> dict[str, Any]:
    """Return a list's item with another id."""
    ((kind, fields),) = item.items()
    return {kind: {**fields, "id": identifier}}


if __name__ == "__main__":
    serve(PasswordSafe)
