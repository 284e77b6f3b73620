# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of all vault lookups."""

from __future__ import annotations


class ModuleDocFragment:
    """What plugin_utils/vault_lookup.py reads."""

    DOCUMENTATION = r"""
options:
  password_file:
    description:
      - A file that holds the vault's password; a final newline does not count. Others must not be
        able to use it.
      - With systemd credentials, C(%d/NAME) in the unit's environment.
    type: path
    vars:
      - name: caspian_vault_password_file
    env:
      - name: CASPIAN_VAULT_PASSWORD_FILE
  password:
    description: The vault's password itself, instead of O(password_file).
    type: str
    vars:
      - name: caspian_vault_password
    env:
      - name: CASPIAN_VAULT_PASSWORD
  missing:
    description:
      - What to do about names whose record is missing, ambiguous or unreadable. V(fail) ends the
        lookup and says why of each; V(report) returns C({"name", "error"}) in the record's place.
    type: str
    choices: [fail, report]
    default: fail
  expired:
    description:
      - What to do about a record that has expired in the vault, where the vault knows of that, as
        KeePass and Password Safe do. V(warn) returns it with a warning; V(refuse) treats it like
        one that is missing.
    type: str
    choices: [warn, refuse]
    default: warn
    vars:
      - name: caspian_vault_expired
    env:
      - name: CASPIAN_VAULT_EXPIRED
"""
