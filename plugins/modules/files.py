#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a set of files and directories in line, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Bring a set of files and directories in line, in one call
version_added: 0.1.0
description:
  - Makes directories, writes files and secrets, and removes files, in one trip to the node, where
    M(ansible.builtin.template), M(ansible.builtin.copy) and M(ansible.builtin.file) take one for
    each. Contents come from the controller, as those of P(ansible.builtin.template#lookup) do.
  - Directories are made first, in their order. Then every file that has to change is written aside,
    at no moment wider than its mode, and validated. None takes its place if one of them is
    refused; else each does by one rename, so a reader sees the old file or the new one. What is to
    be absent is removed last.
  - A directory of another account on the way is never acted in by name. Links are followed only
    where nobody but root can have made them, and for a secret not at all; one in the place of a
    file is refused. A directory that belongs to somebody else is refused, not taken away, but for
    an empty one of root's, such as a new mount point.
  - Content, owner, group, mode, access lists and extra hard links of files that have drifted are
    repaired, always by a new file.
options:
  files:
    description: Paths, each with what is to be there.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      state:
        description:
          - What is to be there. The directory of a file has to exist, or to be one of O(files);
            missing parents of a directory are made.
        type: str
        choices: [file, directory, absent]
        default: file
      content:
        description: What a file holds, byte for byte; a final newline is not added.
        type: str
      secret:
        description:
          - Whether O(files[].content) is one. Its mode may grant nothing to others and no writing
            to the group, and it is in no diff.
        type: bool
        default: false
      owner:
        description:
          - Name or number of the owner. A directory below one of another account than root has to
            be that account's.
        type: str
        default: root
      group:
        description: Name or number of the group.
        type: str
        default: root
      mode:
        description: Mode as a quoted octal number, for a secret V(0400) if nothing is said.
        type: str
      validate:
        description:
          - Command that ends with an error for a content that must not take its place. C(%s) in
            its words stands for the new file.
        type: list
        elements: str
attributes:
  check_mode:
    description: Predicts the changes without writing; nothing is validated.
    support: full
  diff_mode:
    description: Shows the contents of files, and which attributes change; of a secret no content.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Write the settings and a secret
  caspian.airflow.files:
    files:
      - {path: /etc/airflow, state: directory, group: airflow, mode: "0750"}
      - path: /etc/airflow/airflow.cfg
        content: "{{ lookup('ansible.builtin.template', 'airflow.cfg.j2') }}"
        group: airflow
        mode: "0640"
      - path: /etc/airflow/broker.env
        content: "AIRFLOW__CELERY__BROKER_URL={{ airflow_broker_url }}\n"
        secret: true
      - path: /etc/sudoers.d/airflow
        content: "airflow ALL=(root) NOPASSWD: /usr/local/sbin/reload\n"
        mode: "0440"
        validate: [visudo, --check, --file, "%s"]
      - {path: /etc/airflow/old.key, state: absent}
  register: airflow_files

- name: Restart what reads it
  ansible.builtin.systemd_service:
    name: airflow-scheduler
    state: restarted
  when: "'/etc/airflow/airflow.cfg' in airflow_files.changes"
"""

RETURN = r"""
changes:
  description: >-
    What was done to each path, or would be done in check mode. A directory's V(state) (it was
    made), V(owner), V(group), V(mode); a file was V(created), V(removed), V(leftover) (a temporary
    file of a killed run was removed), or V(content), V(owner), V(group), V(mode), V(acl) or
    V(links) were repaired.
  returned: always
  type: dict
  sample: {/etc/airflow/airflow.cfg: [content], /etc/airflow/broker.env: [created]}
"""

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError
from ansible_collections.caspian.airflow.plugins.module_utils.file_set import Entry, FileSet
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import LockedFileError
from ansible_collections.caspian.airflow.plugins.module_utils.secret_module import SecretModule

ENTRY = {
    "path": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
    "content": {"type": "str"},
    "secret": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "validate": {"type": "list", "elements": "str"},
}
FILES = {"type": "list", "elements": "dict", "required": True}


def entries_of(given: object) -> tuple[list[Entry], list[str]]:
    """Return the entries of a task, and what is wrong with the others."""
    checked = ArgumentSpecValidator({"files": {**FILES, "options": ENTRY}}).validate(
        {"files": given}
    )
    if checked.error_messages:
        return [], [
            f"Unsupported parameters: {error.msg}"
            if isinstance(error, UnsupportedError)
            else error.msg
            for error in checked.errors
        ]
    entries, problems = [], []
    for one in checked.validated_parameters["files"]:
        try:
            entries.append(Entry.of(one))
        except LockedFileError as error:
            problems.append(f"{one['path']}: {error}")
    return entries, problems


def diff_of(files: FileSet) -> list[dict[str, Any]]:
    """Return the diff of what has changed: one for each text, and one for all attributes."""
    texts: list[dict[str, Any]] = [
        {"before_header": path, "after_header": path, "before": before, "after": after}
        for path, (before, after) in files.texts.items()
    ]
    others = {
        path: changes
        for path, kinds in files.changes.items()
        if (
            changes := {k: v for k, v in kinds.items() if k != "content" or path not in files.texts}
        )
    }
    attributes: dict[str, Any] = {
        side: {
            path: {kind: pair[number] for kind, pair in kinds.items()}
            for path, kinds in others.items()
        }
        for number, side in enumerate(("before", "after"))
    }
    return [*texts, attributes] if others else texts


def main() -> None:
    """Bring the files in line."""
    module = SecretModule(
        secret="files",  # noqa: S106 - the name of an argument
        stand_in=[],
        argument_spec={"files": FILES},
        supports_check_mode=True,
    )
    entries, problems = entries_of(module.secret)
    files = FileSet(check_mode=module.check_mode)
    if not problems:
        files.bring(entries)
    problems += files.problems
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(
        changed=bool(files.changes),
        changes={path: list(kinds) for path, kinds in files.changes.items()},
        diff=diff_of(files),
    )


if __name__ == "__main__":
    main()
