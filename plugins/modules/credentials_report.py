#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials_report
short_description: Write down what became of a refresh on all hosts of the play
version_added: 0.1.0
description:
  - Writes a JSON file of mode 0600 on the controller, out of what
    M(caspian.airflow.credentials_fetch) and M(caspian.airflow.credentials_deliver) returned for
    each host, which were registered in C(__credentials_fetched) and C(__credentials_delivered). It
    holds names and numbers, no value.
  - Its keys are C(version), C(started_at), C(ended_at), C(vault), C(vault_error) (null where it
    answered), C(problems) (why a source could not be delivered, by its name), C(warnings) (what is
    wrong with one that was delivered all the same, such as a record that has expired) and C(hosts),
    which has for each host C(state) (delivered, failed, unreachable or not_reached), C(error),
    C(summary) and C(changes).
options:
  path:
    description: The file; its folder exists.
    type: path
    required: true
  vault:
    description: What the report says of where the credentials come from.
    type: str
    required: true
attributes:
  check_mode:
    description: Writes nothing.
    support: full
  diff_mode:
    description: It is no change of any host.
    support: none
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Write down what became of each host
  caspian.airflow.credentials_report:
    path: /var/lib/caspian-refresh/report.json
    vault: caspian.airflow.kdbx
  run_once: true
"""

RETURN = r"""#"""
