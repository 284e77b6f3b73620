# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a Password Safe file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: psafe3
short_description: Records of a Password Safe V3 file (.psafe3)
version_added: 0.1.0
description:
  - Returns one record per name out of a Password Safe file on the controller, in the order of the
    names. The file is only read, once per lookup, so ask for all names in one.
  - An entry's user name, password and URL become C(user), C(pass) and C(url). Of its notes, words
    C(key=value) and lines of a key, a colon and a value become C(metadata), the rest
    C(description). The email address becomes C(metadata.email).
  - Password Safe has no field for a host. C(host) is the key C(host) of the notes, else the host of
    the URL. A port written as C(host:port) or in the URL becomes C(metadata.port), unless the
    notes have a key C(port).
  - An alias has the password of its base entry and all else of its own, a shortcut has everything
    of its base entry. One whose base is missing, or is itself an alias or shortcut, is an error of
    that name.
  - The password's expiry becomes C(expires_at), an alias has that of its base; see O(expired).
  - A file whose integrity code (HMAC) is not right is refused as a whole.
author:
  - The caspian-deploy maintainers (@caspian-deploy)
requirements:
  - oxifish >= 0.3 on the controller
options:
  _terms:
    description:
      - The names to look up. A name is an entry's title, or its path C(Group/Sub/Title) where
        titles repeat; C(/Title) is an entry outside of all groups. Where a path repeats too, the
        user name tells the entries apart, C(Group/Title [user]).
      - The dots of Password Safe's group names divide the path; a dot after a backslash is a part
        of the name.
    type: list
    elements: str
    required: true
  path:
    description: The file.
    type: path
    required: true
    vars:
      - name: caspian_psafe3_path
    env:
      - name: CASPIAN_PSAFE3_PATH
  group:
    description: Path of a group, C(Group/Sub). Only entries below it are seen; paths begin there.
    type: str
    vars:
      - name: caspian_psafe3_group
    env:
      - name: CASPIAN_PSAFE3_GROUP
  max_iterations:
    description:
      - A file that asks for more rounds of key stretching is refused, since it says itself how long
        opening it takes. The default is the highest that Password Safe offers, a few seconds.
    type: int
    default: 4194304
    vars:
      - name: caspian_psafe3_max_iterations
    env:
      - name: CASPIAN_PSAFE3_MAX_ITERATIONS
extends_documentation_fragment:
  - caspian.airflow.vault
"""

EXAMPLES = r"""
- name: Use one password
  ansible.builtin.uri:
    url: https://{{ source.host }}/health
    url_username: "{{ source.user }}"
    url_password: "{{ source.pass }}"
  vars:
    source: "{{ lookup('caspian.airflow.psafe3', 'EBI-ETL-DEV-01', path='/srv/vault.psafe3',
      password_file='/srv/vault.password') }}"
  no_log: true

- name: Fetch many, opening the file once
  ansible.builtin.set_fact:
    records: "{{ query('caspian.airflow.psafe3', *names, missing='report') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description:
    - One record per name, as P(caspian.airflow.kdbx#lookup) describes it.
    - With O(missing=report), a name that can't be delivered has C(name) and C(error) alone.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import psafe3
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import (
    FileEntry,
    FileVaultLookup,
)


class LookupModule(FileVaultLookup):
    """The lookup."""

    def entries(self) -> tuple[list[FileEntry], list[list[str]]]:
        """Open the file and return its entries and their groups."""
        entries = self._read()
        self._bases = psafe3.by_uuid(entries)
        found = [FileEntry(entry.group, entry.title, entry.user, entry) for entry in entries]
        return [entry for entry in found if entry.title], [entry.group for entry in found]

    def record(self, name: str, entry: FileEntry) -> dict[str, Any]:
        """Return the entry's record, its base looked up."""
        return psafe3.record(name, entry.raw, self._bases)

    def _read(self) -> list[psafe3.Entry]:
        if not psafe3.HAS_OXIFISH:
            raise AnsibleError("The lookup needs oxifish on the controller: install it with pip.")
        path, password = self.place(), self.secret("password")
        if password is None:
            raise AnsibleError(
                f"{path}: no password is given: set `password_file` or CASPIAN_VAULT_PASSWORD_FILE."
            )
        content = self.read("path") or b""
        try:
            return psafe3.read(content, password, self.get_option("max_iterations"))
        except psafe3.Psafe3Error as error:
            raise AnsibleError(f"{path}: {error}.") from None
