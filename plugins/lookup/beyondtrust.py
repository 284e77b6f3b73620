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
    - One record per name, as P(caspian.airflow.kdbx#lookup) describes it. C(protected) is empty and
      C(expires_at) is null, since this vault says neither of its records.
    - With O(missing=report), a name that can't be delivered has C(name) and C(error) alone.
  type: list
  elements: dict
"""

import contextlib
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import beyondtrust
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http import (
    OPTIONS,
    VaultClient,
    origin,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import VaultLookup


class LookupModule(VaultLookup):
    """The lookup."""

    def place(self) -> str:
        """Return the server's URL."""
        return origin(self.get_option("url"))

    def fetch(self, names: list[str]) -> dict[str, dict[str, Any] | LookupError]:
        """Serve all names in one session."""
        self._check()
        authorize = self._authorize()
        with (
            VaultClient(self._url(), **self.options(OPTIONS)) as client,
            beyondtrust.Session(client, self.place(), authorize) as session,
        ):
            secrets = beyondtrust.Secrets(session, **self.options(("separator", "page_size")))
            secrets.list_folders(self.get_option("folders"), names)
            accounts = None
            if self.get_option("managed_accounts"):
                accounts = beyondtrust.Accounts(session, **self.options(("duration", "reason")))
            return {name: beyondtrust.find(name, secrets, accounts) for name in names}

    def _check(self) -> None:
        for option, least, most in (("page_size", 1, 100_000), ("duration", 1, 525_600)):
            if not least <= self.get_option(option) <= most:
                raise AnsibleError(f"{option} must be a number from {least} to {most}.")
        if len(self.get_option("separator")) != 1:
            raise AnsibleError("separator must be one character.")
        if not self.get_option("folders") and not self.get_option("managed_accounts"):
            raise AnsibleError(f"{self.place()}: there is nothing to search: set `folders`.")

    def _url(self) -> str:
        url: str = self.get_option("url").rstrip("/")
        with contextlib.suppress(ValueError):  # The client's message is the better one.
            url += "" if urlsplit(url).path else beyondtrust.BASE_PATH
        return url

    def _authorize(self) -> beyondtrust.Authorize:
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
            return lambda request: beyondtrust.bearer(request, client_id, password)
        header = f"PS-Auth key={password}; runas={user};"
        if user_password:
            header += f" pwd=[{user_password}];"
        if not beyondtrust.fits_a_header(header):
            raise AnsibleError(
                f"{self.place()}: the API key, `runas` or its password has a character that the API"
                " can't take: a line break, or one that is not in Latin-1."
            )
        return lambda _request: header
