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
  - Field references such as C({REF:P@I:…}) are followed. Entries in the recycle bin and former
    versions of entries are never returned.
author:
  - The caspian-deploy maintainers (@caspian-deploy)
requirements:
  - pykeepass >= 4.1 on the controller
options:
  _terms:
    description:
      - The names to look up. A name is an entry's title, or its path C(Group/Sub/Title) where
        titles repeat; C(/Title) is an entry outside of all groups.
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
  password_file:
    description:
      - A file that holds the database's password; a final newline does not count. Others must not
        be able to read it.
      - With systemd credentials, C(%d/NAME) in the unit's environment.
    type: path
    vars:
      - name: caspian_vault_password_file
    env:
      - name: CASPIAN_VAULT_PASSWORD_FILE
  password:
    description: The database's password itself, instead of O(password_file).
    type: str
    vars:
      - name: caspian_vault_password
    env:
      - name: CASPIAN_VAULT_PASSWORD
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
  missing:
    description:
      - What to do about a name that no entry has, or several. V(fail) ends the lookup; V(report)
        returns C({"name", "error"}) in the record's place.
    type: str
    choices: [fail, report]
    default: fail
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
  sample:
    - name: EBI-ETL-DEV-01
      user: etl
      pass: a password
      host: db1.example.org
      url: postgresql://db1.example.org:5432/ebi
      description: The nightly load
      metadata: {port: 5432}
"""

import stat
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants as C  # noqa: N812 - Ansible's own way
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.caspian.airflow.plugins.plugin_utils import records

try:
    from pykeepass import PyKeePass
    from pykeepass.exceptions import CredentialsError
except ImportError:
    PyKeePass = None

if TYPE_CHECKING:
    from pykeepass.entry import Entry


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Open the database once and return the records of all names."""
        self.set_options(var_options=self._templated(variables or {}), direct=kwargs)
        if PyKeePass is None:
            raise AnsibleError("The lookup needs pykeepass on the controller: install it with pip.")
        path = self.get_option("path")
        database = self._open(path)
        entries = _index(database, path, self.get_option("group"))
        result = []
        for name in terms:
            try:
                entry = _only(entries, name)
                result.append(_record(name, entry, database))
            except LookupError as error:
                if self.get_option("missing") == "fail":
                    raise AnsibleError(f"{path}: {name}: {error.args[0]}") from None
                result.append({"name": name, "error": error.args[0]})
        return result

    def _templated(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the variables that set options; Ansible itself would not template them."""
        names = C.config.get_plugin_vars("lookup", self._load_name)
        return {
            name: self._templar.template(variables[name]) for name in names if name in variables
        }

    def _open(self, path: str) -> PyKeePass:
        password = self._password()
        key_file = self.get_option("key_file")
        if password is None and key_file is None:
            raise AnsibleError(
                f"{path}: neither a password nor a key file is given: set `password_file` or"
                " CASPIAN_VAULT_PASSWORD_FILE."
            )
        for file in filter(None, (path, key_file)):
            if not Path(file).is_file():
                raise AnsibleError(f"{file}: there is no such file on the controller.")
        try:
            return PyKeePass(path, password=password, keyfile=key_file)
        except CredentialsError:
            raise AnsibleError(f"{path}: the password or the key file is wrong.") from None
        except OSError as error:
            raise AnsibleError(f"{path}: {error.strerror}.") from None
        except Exception as error:
            # The parser's own messages quote what it was reading.
            raise AnsibleError(
                f"{path}: not a KeePass database, or a damaged one ({type(error).__name__})."
            ) from None

    def _password(self) -> str | None:
        file, password = self.get_option("password_file"), self.get_option("password")
        if file is None or password is not None:
            if file is not None:
                raise AnsibleError("Both a password and a password file are given: keep one.")
            return password
        try:
            if Path(file).stat().st_mode & stat.S_IRWXO:
                raise AnsibleError(f"{file}: others may use the password file: chmod 600 it.")
            return Path(file).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise AnsibleError(f"{file}: the password file is not UTF-8 text.") from None
        except OSError as error:
            raise AnsibleError(f"{file}: the password file: {error.strerror}.") from None


def _index(database: PyKeePass, path: str, group: str | None) -> dict[str, list[Entry]]:
    """Return the entries by title, and by path with and without a slash in front."""
    below = [part for part in (group or "").split("/") if part]
    if below and database.find_groups(path=below) is None:
        raise AnsibleError(f"{path}: there is no group {group!r}.")
    bin_group = database.recyclebin_group
    bin_path = bin_group.path if bin_group is not None else None
    entries = defaultdict(list)
    for entry in database.entries:
        where = entry.path
        if entry.title is None or where[: len(below)] != below:
            continue
        if bin_path and where[: len(bin_path)] == bin_path:
            continue
        full = "/".join(part or "" for part in where[len(below) :])
        for key in {entry.title, full, f"/{full}"}:
            entries[key].append(entry)
    return entries


def _only(entries: dict[str, list[Entry]], name: str) -> Entry:
    found = entries.get(name, [])
    if not found:
        raise LookupError("no entry has this title or path")
    if len(found) > 1:
        paths = ", ".join(sorted("/" + "/".join(part or "" for part in e.path) for e in found))
        raise LookupError(f"{len(found)} entries have this name, give the path of one: {paths}")
    return found[0]


def _record(name: str, entry: Entry, database: PyKeePass) -> dict[str, Any]:
    own = {key: _resolve(database, value) for key, value in entry.custom_properties.items()}
    return records.record(
        name,
        user=_resolve(database, entry.username),
        password=_resolve(database, entry.password),
        host=own.pop("host", None),
        url=_resolve(database, entry.url),
        description=_resolve(database, entry.notes),
        metadata=own,
    )


def _resolve(database: PyKeePass, value: str | None) -> str:
    """Follow the references to other entries in a field."""
    if not value:
        return ""
    try:
        resolved = database.deref(value)
    except (TypeError, ValueError, RecursionError):
        resolved = None
    if resolved is None:
        raise LookupError("a field refers to an entry that can't be found")
    return str(resolved)
