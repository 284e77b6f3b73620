# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of Rackspace PasswordSafe, and the records of what it holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import records, vault_http

Fields = dict[str, Any]


class Login:
    """A token of the identity service, which is requested when it is first needed."""

    def __init__(
        self, client: vault_http.VaultClient, domain: str, user: str, password: str
    ) -> None:
        self._client = client
        self._body = {
            "auth": {
                "RAX-AUTH:domain": {"name": domain},
                "passwordCredentials": {"username": user, "password": password},
            }
        }
        self._token = ""
        self._renewed = False

    def token(self) -> str:
        """Return the token, which is requested the first time."""
        self._token = self._token or self._request()
        return self._token

    def renew(self) -> bool:
        """Forget a token that was refused; return False if that has been done before."""
        first, self._renewed = not self._renewed, True
        self._token = ""
        return first

    def _request(self) -> str:
        try:
            reply = self._client.request("POST", "v2.0/tokens", json=self._body, accept=(200, 203))
        except vault_http.VaultHTTPError as error:
            raise _with_hint(
                error,
                {
                    401: "the user, the password or the domain is wrong",
                    403: "the user may not log in",
                    404: "is `identity_url` right?",
                },
            ) from None
        try:
            token = reply.json()["access"]["token"]["id"]
        except (KeyError, TypeError):
            token = None
        if not isinstance(token, str) or not token:
            raise AnsibleError(
                f"POST {self._client.host} /v2.0/tokens: the reply has no token in it: is"
                " `identity_url` right?"
            ) from None
        return token


class Vault:
    """The listings of PasswordSafe."""

    def __init__(self, client: vault_http.VaultClient, login: Login, max_pages: int) -> None:
        self._client = client
        self._login = login
        self._max_pages = max_pages

    def project_ids(self, projects: list[str]) -> list[str]:
        """Return the ids of projects that are given by id or name, without repeats."""
        if not projects:
            raise AnsibleError("No project is given: set `projects`.")
        names = [project for project in projects if not _is_id(project)]
        ids = defaultdict(list)
        for project in self._listing("projects.json", "project") if names else ():
            ids[str(project.get("name"))].append(str(project.get("id")))
        for name in names:
            if len(ids[name]) > 1:
                raise AnsibleError(
                    f"{len(ids[name])} projects have the name {name!r}, give the id of one:"
                    f" {', '.join(ids[name])}."
                )
            if not ids[name] or not _is_id(ids[name][0]):
                raise AnsibleError(
                    f"The user sees no project with the name {name!r}: correct `projects`, or give"
                    " the project's id."
                )
        chosen = (project if _is_id(project) else ids[project][0] for project in projects)
        return list(dict.fromkeys(chosen))

    def find(self, names: list[str], projects: list[str]) -> dict[str, list[tuple[str, Fields]]]:
        """Return for each name the credentials that have it, each with its project's id."""
        found: dict[str, list[tuple[str, Fields]]] = {name: [] for name in names}
        for project in projects:
            for credential in self._credentials(project):
                name = _name(credential)
                if name and name in found:
                    found[name].append((project, credential))
        return found

    def _credentials(self, project: str) -> Iterator[Fields]:
        """Yield the credentials of a project."""
        return self._listing(f"projects/{project}/credentials.json", "credential")

    def _listing(self, path: str, kind: str) -> Iterator[Fields]:
        """Yield what a listing holds, until a page is empty or has nothing new."""
        seen: set[str] = set()
        for page in range(1, self._max_pages + 1):
            new = 0
            for fields in self._page(path, kind, page):
                # What has no id is told apart by all that it has.
                key = repr(fields.get("id") or fields)
                if key not in seen:
                    seen.add(key)
                    new += 1
                    yield fields
            if not new:
                return
        raise AnsibleError(
            f"GET {self._client.host} /{path}: the listing has more than {self._max_pages} pages,"
            " so it may have no end. If it is that long, raise `max_pages`."
        )

    def _page(self, path: str, kind: str, page: int) -> list[Fields]:
        """Return the items of a page."""
        reply = self._get(path, page)
        items = reply.json()
        if isinstance(items, list):
            given = [item.get(kind) for item in items if isinstance(item, dict)]
            found = [fields for fields in given if isinstance(fields, dict)]
            if len(found) == len(items):
                return found
        raise AnsibleError(
            f"GET {self._client.host} /{path}: page {page} is not a list of {kind}s: is `url`"
            " right?"
        )

    def _get(self, path: str, page: int) -> vault_http.Reply:
        """Request a page, and once more with a new token if the vault refuses the first."""
        while True:
            try:
                return self._client.request(
                    "GET",
                    path,
                    query={"page": page},
                    headers={"X-Auth-Token": self._login.token()},
                )
            except vault_http.VaultHTTPError as error:
                if error.status == 401 and self._login.renew():
                    continue
                raise _with_hint(
                    error,
                    {
                        401: "the vault refuses the token, and a new one as well",
                        403: "the user may not see the project",
                        404: "is `url` or the project's id wrong?",
                    },
                ) from None


def _with_hint(error: vault_http.VaultHTTPError, hints: dict[int, str]) -> AnsibleError:
    hint = hints.get(error.status or 0)
    return AnsibleError(f"{error}: {hint}" if hint else str(error))


def split_projects(projects: Any) -> list[str]:
    """Return the texts of a list, of a text with commas, or of one number."""
    if isinstance(projects, list | tuple):
        return [str(project) for project in projects]
    return [word.strip() for word in str(projects).split(",") if word.strip()]


def _is_id(project: str) -> bool:
    return re.fullmatch("[0-9]+", project) is not None


def _name(credential: Fields) -> str:
    """Return the first word of the description."""
    description = credential.get("description")
    words = description.split(maxsplit=1) if isinstance(description, str) else []
    return words[0] if words else ""


def record(name: str, found: list[tuple[str, Fields]]) -> dict[str, Any]:
    """Return the record of a name; LookupError unless one credential has it."""
    if not found:
        raise LookupError("no credential's description begins with this name")
    if len(found) > 1:
        places = ", ".join(f"{fields.get('id')} in project {project}" for project, fields in found)
        raise LookupError(f"{len(found)} credentials have this name: {places}")
    _project, fields = found[0]
    for field in ("username", "password", "hostname", "url"):
        if not isinstance(fields.get(field), str | None):
            raise LookupError(f"its {field} is not a text")
    description = records.parse_description(fields["description"])
    return records.record(
        name,
        user=fields.get("username"),
        password=fields.get("password"),
        host=fields.get("hostname"),
        url=fields.get("url"),
        description=description.text,
        metadata=description.metadata,
    )
