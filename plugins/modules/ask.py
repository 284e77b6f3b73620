#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ask
short_description: Ask a host by a program that changes nothing
version_added: 0.1.0
description:
  - Runs a program and returns what it says, as M(ansible.builtin.command) does, at a tenth of the
    cost, since no module is sent.
  - For questions alone. It is never V(changed), and check mode asks too.
options:
  argv:
    description: The program and its arguments, which other accounts of the host can see.
    type: list
    elements: str
    required: true
  stdin:
    description: What the program reads, to which a line end is added. Passwords belong here.
    type: str
    default: ""
attributes:
  check_mode:
    description: Asks as ever.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Ask Redis whether it answers
  caspian.airflow.ask:
    argv: [redis-cli, --askpass, PING]
    stdin: "{{ broker_password }}"
  register: answer
  failed_when: answer.stdout != 'PONG'
  no_log: true
"""

RETURN = r"""
rc:
  description: The exit code; another than 0 fails the task.
  type: int
  returned: always
stdout:
  description: What the program printed; C(stdout_lines) has it by lines.
  type: str
  returned: always
stderr:
  description: Its errors; C(stderr_lines) has them by lines.
  type: str
  returned: always
"""
