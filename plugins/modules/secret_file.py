#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write one secret to one file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_file
short_description: Write one secret to one file, never visible wider than its mode
version_added: 0.1.0
description:
  - Writes O(content) to a new file that only its writer can open, gives it its owner and mode,
    brings it to the disk and renames it over O(path). A reader sees the old secret or the new
    one, and nobody sees either at a wider mode, as happens with M(ansible.builtin.copy) and
    M(ansible.builtin.template).
  - Content, owner, group, mode, access lists and extra hard links that have drifted are
    repaired, always by a new file.
  - Symbolic links are refused, both at O(path) and on the way to it.
options:
  path:
    description: Absolute path of the file. Its directory has to exist.
    type: str
    required: true
  content:
    description:
      - What the file holds, byte for byte; a final newline is not added.
      - Required with O(state=present), and not empty.
    type: str
  owner:
    description: Name or number of the owner.
    type: str
    default: root
  group:
    description: Name or number of the group.
    type: str
    default: root
  mode:
    description:
      - Mode as a quoted octal number. It may grant nothing to others and no writing to the group.
    type: str
    default: '0400'
  state:
    description: Whether the file is there.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Predicts the change without writing.
    support: full
  diff_mode:
    description: Shows which of content, owner, group and mode change; never the content.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Write the broker's password
  caspian.airflow.secret_file:
    path: /etc/airflow/broker.env
    content: "AIRFLOW__CELERY__BROKER_URL={{ airflow_broker_url }}\n"
    owner: root
    group: airflow
    mode: "0440"

- name: Remove a key that is no longer used
  caspian.airflow.secret_file:
    path: /etc/airflow/old.key
    state: absent
"""

RETURN = r"""
changes:
  description: >-
    What was done, or would be done in check mode: V(created), V(removed), V(leftover) (a temporary
    file of a killed run was removed), or what was repaired: V(content), V(owner), V(group),
    V(mode), V(acl), V(links).
  returned: always
  type: list
  elements: str
  sample: [content, mode]
"""

import os
import stat

from ansible.module_utils.common.validation import check_type_str
from ansible_collections.caspian.airflow.plugins.module_utils import locked_files
from ansible_collections.caspian.airflow.plugins.module_utils.secret_module import SecretModule


def present(module: SecretModule, name: str, dir_fd: int) -> dict[str, tuple[str, str]]:
    """Make the file as wanted; return kind → (found, wanted)."""
    params = module.params
    try:
        content = check_type_str(module.secret).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise locked_files.LockedFileError("content is no valid Unicode text") from None
    mode = locked_files.parse_mode(params["mode"])
    try:
        wanted = locked_files.attributes(params["owner"], params["group"], mode)
    except locked_files.UnknownAccountError:
        if module.check_mode:  # A task before this one would have made the account.
            return {"created": ("absent", "present")}
        raise
    if locked_files.status(name, dir_fd) is None:
        changes = {"created": ("absent", "present")}
    else:
        changes = locked_files.differences(name, content, wanted, dir_fd)
    if changes and not module.check_mode:
        locked_files.replace(name, content, wanted, dir_fd)
    return changes


def absent(module: SecretModule, name: str, dir_fd: int) -> dict[str, tuple[str, str]]:
    """Remove the file; return kind → (found, wanted)."""
    if locked_files.status(name, dir_fd) is None:
        return {}
    if not module.check_mode:
        os.unlink(name, dir_fd=dir_fd)
        os.fsync(dir_fd)
    return {"removed": ("present", "absent")}


def apply(module: SecretModule) -> dict[str, tuple[str, str]]:
    """Bring the file into its state; return kind → (found, wanted)."""
    path, state = module.params["path"], module.params["state"]
    directory, name = locked_files.split_path(path)
    if state == "present":
        locked_files.parse_mode(module.params["mode"])
        if module.secret in (None, ""):
            raise locked_files.LockedFileError(
                "content is missing or empty: give the secret, or state: absent"
            )
    try:
        dir_fd = locked_files.open_directory(directory)
    except locked_files.MissingDirectoryError:
        if state == "absent":
            return {}
        if module.check_mode:  # A task before this one would have made the directory.
            return {"created": ("absent", "present")}
        raise
    try:
        found = locked_files.status(name, dir_fd)
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise locked_files.LockedFileError(
                "there is a symbolic link or something else that is not a regular file:"
                " look where it comes from and remove it"
            )
        changes = {}
        for leftover in locked_files.leftovers(name, dir_fd):
            changes["leftover"] = ("present", "absent")
            if not module.check_mode:
                os.unlink(leftover, dir_fd=dir_fd)
        action = present if state == "present" else absent
        return {**changes, **action(module, name, dir_fd)}
    finally:
        os.close(dir_fd)


def main() -> None:
    """Run the module."""
    module = SecretModule(
        secret="content",  # noqa: S106 - the name of an argument
        stand_in="",
        argument_spec={
            "path": {"type": "str", "required": True},
            "content": {"type": "str", "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0400"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        changes = apply(module)
    except (locked_files.LockedFileError, OSError) as error:
        module.fail_json(msg=f"{path}: {error}")
    module.exit_json(
        changed=bool(changes),
        changes=list(changes),
        diff={
            "before_header": path,
            "after_header": path,
            "before": {kind: found for kind, (found, _) in changes.items()},
            "after": {kind: wanted for kind, (_, wanted) in changes.items()},
        },
    )


if __name__ == "__main__":
    main()
