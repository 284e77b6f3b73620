#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials_fetch
short_description: Ask a vault once for the credentials of all hosts of a play
version_added: 0.1.0
description:
  - Checks the declared sources, and asks the vault on the controller for the records of all that
    any host of the play receives, in one lookup. No host is contacted.
  - Run it with C(run_once), register it, and give the name of that variable to
    M(caspian.airflow.credentials_deliver).
  - The lookup's options are those of the variable C(credentials_vault_options), which is not an
    argument since arguments are shown to callbacks, and a password may be among them.
options:
  sources:
    description: The declared sources, as in role P(caspian.airflow.credentials#role).
    type: raw
    required: true
  only:
    description: A name or a list of names; other sources are left as they are.
    type: raw
    default: []
  vault:
    description: Fully qualified name of the lookup plugin that knows the vault.
    type: str
    required: true
  vault_mapping:
    description:
      - For a lookup that does not return the records of this collection, where in what it returns
        the fields are; see P(caspian.airflow.vault_records#filter). It is asked for all names at
        once, and for each alone when that fails.
    type: dict
    default: {}
  vault_copy:
    description:
      - Where the vault is a copy of one that people edit elsewhere, the file whose time of change
        says when the two were last known to be the same. What is delivered counts as confirmed
        then.
    type: path
    default: ''
  vault_memory:
    description:
      - Where a file vault (option C(path) of the lookup) lies on a share, a file that remembers
        which one was read last. A link in the vault's place is refused then, and so is a vault that
        is older.
    type: path
    default: ''
  secure_logging:
    description: Hide the result, which holds the secrets.
    type: bool
    default: true
attributes:
  check_mode:
    description: The vault is asked in check mode too.
    support: full
  diff_mode:
    description: Nothing is changed.
    support: none
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Ask the vault for what all hosts receive
  caspian.airflow.credentials_fetch:
    sources: [EBI-ETL-DEV-01]
    vault: caspian.airflow.kdbx
  vars:
    credentials_vault_options: {path: /srv/vault.kdbx, password_file: /srv/vault.password}
  run_once: true
  register: fetched
"""

RETURN = r"""
fetched:
  description: All of it as one JSON text, for M(caspian.airflow.credentials_deliver).
  returned: success
  type: str
records_warned_of:
  description: What is wrong with credentials that are delivered all the same, by their name.
  returned: when there is any
  type: dict
vault_copy_of:
  description: When the copy of the vault was last known to be the same as the vault, in UTC.
  returned: when O(vault_copy) is given
  type: str
started_at:
  description: When the vault was asked, in UTC.
  returned: success
  type: str
  sample: "2026-01-01T00:00:00Z"
"""
