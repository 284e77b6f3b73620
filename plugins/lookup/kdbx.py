# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a KeePass database."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kdbx
short_description: Records of a KeePass database (.kdbx)
version_added: 0.1.0
description:
  - Returns one record per name out of a KeePass database on the controller, in the order of the
    names. The file is opened once per lookup, so ask for all names in one.
  - An entry's user name, password, URL and notes become C(user), C(pass), C(url) and
    C(description); its own attributes become C(metadata), all of them as text except C(port).
  - C(host) is the attribute C(host), else the host of the URL. A port written as C(host:port) or
    in the URL becomes C(metadata.port), unless there is an attribute C(port).
  - References such as C({REF:P@I:…}), and C({USERNAME}), C({PASSWORD}), C({TITLE}), C({URL}),
    C({NOTES}), C({UUID}) and C({S:attribute}), are filled as KeePass fills them. It is an error of
    that name where what is referred to is missing, has references in a circle, or is not the one
    entry that both KeePass and KeePassXC take, and where KeePass alone could fill a placeholder.
    Entries in the recycle bin or the templates group, and former versions of entries, are never
    returned nor referred to. An entry of a group that KeePass leaves out of searches has its path
    as its only name.
  - What the database protects, by entry or as a whole, is named in C(protected), also where it gets
    into another field by a reference. An entry's expiry becomes C(expires_at), or that of an entry
    it refers to where that is earlier; see O(expired).
author:
  - The caspian-deploy maintainers (@caspian-deploy)
requirements:
  - pykeepass >= 4.1 on the controller
options:
  _terms:
    description:
      - The names to look up. A name is an entry's title, or its path C(Group/Sub/Title) where
        titles repeat; C(/Title) is an entry outside of all groups. Where a path repeats too, the
        user name tells the entries apart, C(Group/Title [user]).
    type: list
    elements: str
    required: true
  path:
    description: The database.
    type: path
    required: true
    vars:
      - name: caspian_kdbx_path
    env:
      - name: CASPIAN_KDBX_PATH
  key_file:
    description: The database's key file, alone or together with a password.
    type: path
    vars:
      - name: caspian_kdbx_key_file
    env:
      - name: CASPIAN_KDBX_KEY_FILE
  group:
    description: Path of a group, C(Group/Sub). Only entries below it are seen; paths begin there.
    type: str
    vars:
      - name: caspian_kdbx_group
    env:
      - name: CASPIAN_KDBX_GROUP
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
    source: "{{ lookup('caspian.airflow.kdbx', 'EBI-ETL-DEV-01', path='/srv/vault.kdbx',
      password_file='/srv/vault.password') }}"
  no_log: true

- name: Fetch many, opening the file once
  ansible.builtin.set_fact:
    records: "{{ query('caspian.airflow.kdbx', *names, missing='report') }}"
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
      description: >-
        The fields that the vault protects as it does the password, metadata as C(metadata.KEY).
      type: list
      elements: str
    expires_at:
      description: >-
        When the record expires, in UTC; V(null) where it doesn't, or the vault can't tell.
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

from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import kdbx, kdbx_file
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import (
    FileEntry,
    FileVaultLookup,
)


class LookupModule(FileVaultLookup):
    """The lookup."""

    def entries(self) -> tuple[list[FileEntry], list[list[str]]]:
        """Open the database and return its living entries and their groups."""
        self._database = kdbx.Database(self._open())
        entries = []
        for entry in self._database.entries:
            if title := entry.raw("Title").text:
                user = entry.raw("UserName")
                # Messages name entries by it.
                shown = "" if user.protected else user.text
                entries.append(FileEntry(entry.group, title, shown, entry, entry.searchable))
        return entries, self._database.groups

    def record(self, name: str, entry: FileEntry) -> dict[str, Any]:
        """Return the entry's record, its references followed."""
        return kdbx.record(name, entry.raw, self._database)

    def _open(self) -> Any:
        if not kdbx_file.HAS_PYKEEPASS:
            raise AnsibleError("The lookup needs pykeepass on the controller: install it with pip.")
        path, password = self.place(), self.secret("password")
        if password is None and self.get_option("key_file") is None:
            raise AnsibleError(
                f"{path}: neither a password nor a key file is given: set `password_file` or"
                " CASPIAN_VAULT_PASSWORD_FILE (an empty password is none: give the database one)."
            )
        content, key_file = self.read("path"), self.read("key_file")
        try:
            return kdbx_file.open_database(content or b"", password, key_file)
        except kdbx_file.KdbxError as error:
            raise AnsibleError(f"{path}: {error}.") from None
