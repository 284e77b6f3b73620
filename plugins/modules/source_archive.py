#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: source_archive
short_description: Packs files into an archive whose bytes depend on their content alone
version_added: 0.1.0
description:
  - Makes a gzipped tar archive of some paths below a folder. Times, owners and the order of
    the directory do not count, so the same content always gives the same archive, and its
    checksum can name what is deployed.
  - Compiled Python files and hidden files are left out. Symbolic links are kept as links.
  - It runs on the controller, whatever the host of the task, and is never V(changed), since what it
    writes is a cache there.
options:
  root:
    description: The folder that the paths are relative to.
    type: path
    required: true
  paths:
    description: Files and folders to pack.
    type: list
    elements: str
    required: true
  prefix:
    description: Folder that the archive unpacks into.
    type: str
    required: true
  name:
    description: First part of the archive's name.
    type: str
    required: true
  dest_directory:
    description: Where to write the archive, as C(NAME-CHECKSUM.tar.gz).
    type: path
    required: true
attributes:
  check_mode:
    description: Returns the checksum and path, writes nothing.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Pack the library
  caspian.airflow.source_archive:
    root: "{{ playbook_dir }}/.."
    paths: [pyproject.toml, src]
    prefix: rax
    name: rax
    dest_directory: ~/.cache/caspian-deploy
  run_once: true
"""

RETURN = r"""
checksum:
  description: SHA-256 of the packed names, modes and contents.
  type: str
  returned: success
path:
  description: The archive.
  type: str
  returned: success
"""
