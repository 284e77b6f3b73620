#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials_deliver
short_description: Give a host its part of what was fetched from the vault
version_added: 0.1.0
description:
  - Picks what this host receives out of what M(caspian.airflow.credentials_fetch) has fetched, and
    publishes it by the module M(caspian.airflow.credential_files).
  - A source without a good record keeps its last good file. The others are brought up to date, and
    the task fails at its end and names it.
  - Refuses to deliver without pipelining, since the secrets would lie in a file on the host.
  - "Names what changed in one line, as C(worker1: updated EBI-ETL-DEV-01)."
options:
  fetched:
    description: Name of the variable that M(caspian.airflow.credentials_fetch) was registered in.
    type: str
    required: true
  path:
    description: As in M(caspian.airflow.credential_files), and so are all the others.
    type: str
    required: true
  owner:
    description: Name or number of the owner of files and directories.
    type: str
  group:
    description: Name or number of the group that may read them.
    type: str
  allow_empty:
    description: Whether no declared sources at all may remove everything.
    type: bool
  status:
    description: Absolute path of the status file.
    type: str
  vault:
    description: What the status file says of where the credentials come from.
    type: str
  notify:
    description: systemd units that are reloaded after a change of the set.
    type: list
    elements: str
attributes:
  check_mode:
    description: Predicts the lists without writing.
    support: full
  diff_mode:
    description: Shows names and kinds of change, never values.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Lock this node's credential files
  caspian.airflow.credentials_deliver:
    fetched: fetched
    path: /etc/airflow/credentials
    group: airflow
"""

RETURN = r"""
problems:
  description: >-
    Why a source could not be delivered, by its name. What else is returned is the module's.
  returned: when there is any
  type: dict
"""
