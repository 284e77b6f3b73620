#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lacking
short_description: Ask a host what it lacks of packages, services, accounts, paths and links
version_added: 0.1.0
description:
  - Returns what is not there as it is wanted, in one question for all of it. A module such as
    M(ansible.builtin.apt) then runs only where it has something to do, and for that alone; it costs
    ten times as much, since it is sent to the host and compiled there.
  - It is never V(changed), and check mode asks too.
options:
  packages:
    description: Packages of Debian that are to be installed.
    type: list
    elements: str
    default: []
  services:
    description: Units of systemd that are to run and be enabled.
    type: list
    elements: str
    default: []
  paths:
    description: Absolute paths at which something is to be, whatever it is.
    type: list
    elements: str
    default: []
  links:
    description: Symbolic links of root's.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the link is.
        type: str
        required: true
      to:
        description: What it holds.
        type: str
        required: true
  accounts:
    description: Accounts of the host.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      group:
        description: Name of its primary group.
        type: str
        required: true
      home:
        description: Its home.
        type: str
        required: true
      shell:
        description: Its shell.
        type: str
        required: true
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
- name: Ask what this host lacks for Redis
  caspian.airflow.lacking:
    packages: [redis-server, procps]
    services: [redis-server.service]
  register: lacks

- name: Install the packages
  ansible.builtin.apt:
    name: "{{ lacks.packages }}"
  when: lacks.packages | length > 0
"""

RETURN = r"""
packages:
  description: Those of O(packages) that are not installed.
  type: list
  elements: str
  returned: always
services:
  description: Those of O(services) that do not run or are not enabled.
  type: list
  elements: str
  returned: always
paths:
  description: Those of O(paths) at which nothing is.
  type: list
  elements: str
  returned: always
links:
  description: Paths of those of O(links) that hold something else, or are not root's.
  type: list
  elements: str
  returned: always
accounts:
  description: Names of those of O(accounts) that differ.
  type: list
  elements: str
  returned: always
"""
