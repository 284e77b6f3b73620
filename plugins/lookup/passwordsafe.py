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
    - One record per name, as P(caspian.airflow.kdbx#lookup) describes it. C(protected) is empty and
      C(expires_at) is null, since this vault says neither of its records.
    - With O(missing=report), a name that can't be delivered has C(name) and C(error) alone.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import passwordsafe
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http import (
    OPTIONS,
    VaultClient,
    origin,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import VaultLookup


class LookupModule(VaultLookup):
    """The lookup."""

    def place(self) -> str:
        """Return the vault's URL."""
        return origin(self.get_option("url"))

    def fetch(self, names: list[str]) -> dict[str, dict[str, Any] | LookupError]:
        """List each project once and return the records of all names."""
        password = self.secret("password")
        if password is None:
            raise AnsibleError(
                f"{self.place()}: no password is given: set `password_file` or"
                " CASPIAN_VAULT_PASSWORD_FILE."
            )
        with self._client("identity_url") as identity, self._client("url") as client:
            domain, user = self.get_option("domain"), self.get_option("user")
            login = passwordsafe.Login(identity, domain, user, password)
            vault = passwordsafe.Vault(client, login, self.get_option("max_pages"))
            projects = passwordsafe.split_projects(self.get_option("projects"))
            found = vault.find(names, vault.project_ids(projects))
        result: dict[str, dict[str, Any] | LookupError] = {}
        for name in names:
            try:
                result[name] = passwordsafe.record(name, found[name])
            except LookupError as error:
                result[name] = error
        return result

    def _client(self, url: str) -> VaultClient:
        return VaultClient(self.get_option(url), **self.options(OPTIONS))
