#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_answer
short_description: Ask a host how it is
version_added: 0.1.0
description:
  - Runs a program on the host that prints JSON, and returns what it says in a form that is known
    and of limited length, whoever has written it.
  - Never fails. A host that cannot be reached, that does not answer in its time, or that answers
    with something else is told as such.
options:
  argv:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
  form:
    description:
      - What is printed. V(node) is C(rax status --json), V(cluster) is
        C(python -m rax.airflow.health).
    type: str
    choices: [node, cluster]
    required: true
  seconds:
    description: How long the host may take, the log-in included.
    type: float
    required: true
attributes:
  check_mode:
    description: Asks nothing.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Ask each host how it is
  caspian.airflow.health_answer:
    argv: [/usr/local/bin/rax, status, --json]
    form: node
    seconds: 60
  register: __health_status
"""

RETURN = r"""
answer:
  description: What the host says; null where it says nothing of use.
  type: dict
  returned: always
kind:
  description: Why there is no answer, V(unreachable), V(unanswered) or V(missing); else empty.
  type: str
  returned: always
problem:
  description: The same in words.
  type: str
  returned: always
"""
