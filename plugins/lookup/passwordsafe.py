# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of Rackspace PasswordSafe."""

from __future__ import annotations

DOCUMENTATION = r"""
name: passwordsafe
short_description: Records of Rackspace PasswordSafe
version_added: 0.1.0
description:
  - Returns one record per name out of one or several projects of Rackspace PasswordSafe, in the
    order of the names. Each project is listed once per lookup, whatever the number of names, so ask
    for all names in one.
  - PasswordSafe has no field for a name. The first word of a credential's description is its name,
    compared exactly. Words C(key=value) and YAML lines of the rest become C(metadata); what remains
    is C(description).
  - User name, password, host name and URL become C(user), C(pass), C(host) and C(url). A port
    written as C(host:port) becomes C(metadata.port), unless the description gives one. The password
    is passed on as it stands, also where it is JSON or base64.
  - A name that several credentials have is not delivered; the reason gives the ids of all of them.
author:
  - The caspian-deploy maintainers (@caspian-deploy)
notes:
  - The real servers are Rackspace's own and could not be reached when this was written. The calls
    and shapes come from public clients of PasswordSafe, and the tests use a stand-in server made
    after them.
  - The token is requested once per lookup, and once more if the vault refuses it while the lookup
    runs. Nothing is kept between lookups.
  - A listing ends at an empty page, or at one that has nothing new.
requirements:
  - urllib3 >= 2.2 on the controller
options:
  _terms:
    description: The names to look up.
    type: list
    elements: str
    required: true
  url:
    description: URL of PasswordSafe, C(https://passwordsafe.example.org).
    type: str
    required: true
    vars:
      - name: caspian_passwordsafe_url
    env:
      - name: CASPIAN_PASSWORDSAFE_URL
  identity_url:
    description:
      - URL of the identity service that gives the token, without C(/v2.0/tokens).
    type: str
    required: true
    vars:
      - name: caspian_passwordsafe_identity_url
    env:
      - name: CASPIAN_PASSWORDSAFE_IDENTITY_URL
  user:
    description: The user to log in as. The password is O(password) or O(password_file).
    type: str
    required: true
    vars:
      - name: caspian_passwordsafe_user
    env:
      - name: CASPIAN_PASSWORDSAFE_USER
  domain:
    description: The user's domain.
    type: str
    default: Rackspace
    vars:
      - name: caspian_passwordsafe_domain
    env:
      - name: CASPIAN_PASSWORDSAFE_DOMAIN
  projects:
    description:
      - The projects to search, by id or by name; digits alone are an id. A list, or a text with
        commas between them.
    type: raw
    required: true
    aliases: [project]
    vars:
      - name: caspian_passwordsafe_projects
    env:
      - name: CASPIAN_PASSWORDSAFE_PROJECTS
  max_pages:
    description:
      - How many pages a listing may have before it counts as endless, which is an error. A page has
        about 25 credentials.
    type: int
    default: 2000
    vars:
      - name: caspian_passwordsafe_max_pages
    env:
      - name: CASPIAN_PASSWORDSAFE_MAX_PAGES
extends_documentation_fragment:
  - caspian.airflow.vault
  - caspian.airflow.vault_http
"""

EXAMPLES = r"""
# In group_vars:
#   caspian_passwordsafe_url: https://passwordsafe.example.org
#   caspian_passwordsafe_identity_url: https://identity.example.org
#   caspian_passwordsafe_user: svc-airflow
#   caspian_passwordsafe_projects: [1234]
#   caspian_vault_password_file: /etc/caspian/vault.password
- name: Use one password
  ansible.builtin.uri:
    url: https://{{ source.host }}/health
    url_username: "{{ source.user }}"
    url_password: "{{ source.pass }}"
  vars:
    source: "{{ lookup('caspian.airflow.passwordsafe', 'EBI-ETL-DEV-01') }}"
  no_log: true

- name: Fetch many from two projects, listing each once
  ansible.builtin.set_fact:
    records: "{{ query('caspian.airflow.passwordsafe', *names, projects=['1234', 'EBI production'],
      missing='report') }}"
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
      url: ""
      description: The nightly load
      metadata: {env: dev, port: 1433}
      protected: []
      expires_at: null
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import records, vault_http
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import VaultLookup

Fields = dict[str, Any]


class LookupModule(VaultLookup):
    """The lookup."""

    def place(self) -> str:
        """Return the vault's URL."""
        return vault_http.origin(self.get_option("url"))

    def fetch(self, names: list[str]) -> dict[str, dict[str, Any] | LookupError]:
        """List each project once and return the records of all names."""
        password = self.secret("password")
        if password is None:
            raise AnsibleError(
                f"{self.place()}: no password is given: set `password_file` or"
                " CASPIAN_VAULT_PASSWORD_FILE."
            )
        wanted = set(names)
        found: dict[str, list[tuple[str, Fields]]] = defaultdict(list)
        with self._client("identity_url") as identity, self._client("url") as client:
            login = Login(identity, self.get_option("domain"), self.get_option("user"), password)
            vault = Vault(client, login, self.get_option("max_pages"))
            for project in vault.project_ids(_split(self.get_option("projects"))):
                for credential in vault.credentials(project):
                    name = _name(credential)
                    if name and name in wanted:
                        found[name].append((project, credential))
        result: dict[str, dict[str, Any] | LookupError] = {}
        for name in names:
            try:
                result[name] = _record(name, found[name])
            except LookupError as error:
                result[name] = error
        return result

    def _client(self, option: str) -> vault_http.VaultClient:
        return vault_http.VaultClient(
            self.get_option(option),
            ca_path=self.get_option("ca_path"),
            proxy=self.get_option("proxy"),
            timeout=self.get_option("timeout"),
            retries=self.get_option("retries"),
            total_timeout=self.get_option("total_timeout"),
        )


class Login:
    """A token of the identity service, which is requested when it is first needed."""

    def __init__(
        self, client: vault_http.VaultClient, domain: str, user: str, password: str
    ) -> None:
        """Request nothing yet."""
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
        """Return the token."""
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
        """Request nothing yet."""
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

    def credentials(self, project: str) -> Iterator[Fields]:
        """Yield the credentials of a project."""
        return self._listing(f"projects/{project}/credentials.json", "credential")

    def _listing(self, path: str, kind: str) -> Iterator[Fields]:
        """Yield what a listing holds, until a page is empty or has nothing new."""
        seen: set[str] = set()
        for page in range(1, self._max_pages + 1):
            new = 0
            for fields in self._page(path, kind, page):
                # What has no id, is told apart by all that it has.
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
            found = [item.get(kind) for item in items if isinstance(item, dict)]
            if len(found) == len(items) and all(isinstance(fields, dict) for fields in found):
                return found
        raise AnsibleError(
            f"GET {self._client.host} /{path}: page {page} is not a list of {kind}s: is `url`"
            " right?"
        )

    def _get(self, path: str, page: int) -> vault_http.Reply:
        """Request a page, once more with another token if the vault refuses the first."""
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


def _split(projects: Any) -> list[str]:
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


def _record(name: str, found: list[tuple[str, Fields]]) -> dict[str, Any]:
    """Build the record of the only credential that has the name."""
    if not found:
        raise LookupError("no credential's description begins with this name")
    if len(found) > 1:
        places = ", ".join(f"{fields.get('id')} in project {project}" for project, fields in found)
        raise LookupError(f"{len(found)} credentials have this name: {places}")
    ((_, fields),) = found
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
