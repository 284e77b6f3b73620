#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make directories of accounts without following what these may have put in the way."""

from __future__ import annotations

DOCUMENTATION = r"""
module: owned_directories
short_description: Make directories that belong to accounts
version_added: 0.1.0
description:
  - Makes directories, with missing parents, and gives them their owner, group and mode. With
    M(ansible.builtin.file), an account could put a link in the place of a directory in its home,
    and root would give it the directory that the link leads to.
  - Follows no link, but for links of root's in directories that nobody else may write to. From the
    first directory on the way that is not root's, all is done as the account that it belongs to.
  - A directory that is there and belongs to somebody else is refused, not taken away, but for an
    empty one of root's, such as a new mount point. All of them are named, and the others made.
options:
  directories:
    description: What is to be there, in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path of the directory.
        type: str
        required: true
      owner:
        description:
          - Name or number of the owner. Below a directory of another account than root, it has to
            be that account.
        type: str
        default: root
      group:
        description: Name or number of the group.
        type: str
        default: root
      mode:
        description: Mode as a quoted octal number.
        type: str
        required: true
attributes:
  check_mode:
    description: Predicts the change without making anything.
    support: full
  diff_mode:
    description: Shows which of owner, group and mode change, and what is made.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Make the directories of the account
  caspian.airflow.owned_directories:
    directories:
      - {path: /home/airflow, owner: airflow, group: airflow, mode: "0750"}
      - {path: /home/airflow/alerts, owner: airflow, group: airflow, mode: "0700"}
      - {path: /etc/airflow, group: airflow, mode: "0750"}
"""

RETURN = r"""
changes:
  description: >-
    What was done to each path, or would be done in check mode: V(state) (it was made), V(owner),
    V(group), V(mode).
  returned: success
  type: dict
  sample: {/home/airflow/alerts: [state], /etc/airflow: [mode]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.caspian.airflow.plugins.module_utils import (
    account_directories,
    locked_files,
)


def apply(
    path: str, owner: str, group: str, mode: str, check_mode: bool
) -> account_directories.Changes:
    """Bring one directory into its state; return kind → (was, is)."""
    bits = account_directories.parse_mode(mode)
    try:
        wanted = locked_files.attributes(owner, group, bits)
    except locked_files.UnknownAccountError:
        if check_mode:  # A task before this one would have made the account.
            return {"state": ("absent", "directory")}
        raise
    return account_directories.ensure(path, wanted, check_mode=check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directories": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "str", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "required": True},
                },
            }
        },
        supports_check_mode=True,
    )
    changes, problems = {}, []
    for directory in module.params["directories"]:
        try:
            done = apply(**directory, check_mode=module.check_mode)
        except (locked_files.LockedFileError, OSError) as error:
            problems.append(f"{directory['path']}: {error}")
            continue
        if done:
            changes[directory["path"]] = done
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(
        changed=bool(changes),
        changes={path: list(done) for path, done in changes.items()},
        diff={
            when: {
                path: {kind: pair[side] for kind, pair in done.items()}
                for path, done in changes.items()
            }
            for side, when in enumerate(("before", "after"))
        },
    )


if __name__ == "__main__":
    main()
