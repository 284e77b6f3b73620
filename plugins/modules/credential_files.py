#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a node's whole set of credentials in one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credential_files
short_description: Publish a node's whole set of credentials as locked files, in one step
version_added: 0.1.0
description:
  - Writes every credential to a file C(NAME.json) of mode 0440 in a new directory of mode 0750, a
    generation, and publishes it by turning the symbolic link O(path) to it. A reader sees the
    old set or the new one, also when the module is killed or the disk is full.
  - Where O(owner) is not root, the modes are 0400 and 0700, since what an account owns, nobody else
    may read. Such an account can run the module itself.
  - Generations lie beside the link, in C(.NAME/) where C(NAME) is the last part of O(path). The
    last one is removed after the turn, so a reader that meets the turn opens its file again.
  - A credential that has not changed keeps its file and inode. Files whose content, owner, group,
    mode, access list or number of hard links has drifted are written anew.
  - The C(NAME.json) files of the directory belong to the module, so those that O(credentials) does
    not name are removed. Anything else that lies there is carried over untouched.
  - Nothing is followed out of the directory, and no part of O(path) before its last may be a link.
  - Each change is logged to syslog, facility C(authpriv), as C(caspian-credentials), with the
    generation, O(by), O(vault) and the names, each with the first digits of its fingerprint.
options:
  path:
    description: Absolute path of the link under which the set is published. Its directory exists.
    type: str
    required: true
  credentials:
    description:
      - The credentials this node receives, by name. Each is a mapping in which C(user), C(host)
        and C(pass) are texts that are not empty; C(url), C(description) and the mapping
        C(metadata) may be left out. C(protected) is a list of the fields that readers hide,
        metadata as C(metadata.KEY); without it, they hide all metadata.
      - A name consists of letters, digits, C(.), C(_) and C(-), begins with a letter or digit and
        has at most 128 characters.
    type: dict
    required: true
  owner:
    description:
      - Name or number of the owner of files and directories. Only root can name another account
        than its own.
    type: str
    default: root
  group:
    description:
      - Name or number of the group that may read them, where O(owner) is root. Default is the
        owner's own.
    type: str
  problems:
    description:
      - Names whose record the vault did not give this time, each with the reason. Their last good
        file stays, and O(status) has the reason.
    type: dict
    default: {}
  keep:
    description:
      - Names whose last good file stays although neither O(credentials) nor O(problems) has them,
        since nobody asked the vault for them this time. Their entry in O(status) stays too.
    type: list
    elements: str
    default: []
  status:
    description:
      - Absolute path of a file that says, in JSON, of each source when it was last changed and last
        good, and what is wrong with it. It is written by every run, after the set is published,
        with the owner, group and mode of the credentials, and it holds no value.
      - The fingerprint of a source is an HMAC-SHA-256 of its file, under a random key that only
        O(owner) can read and that never leaves the node. So it shows a change, but neither helps
        to guess a password nor shows that two nodes have the same.
    type: str
  vault:
    description: What to call the vault in O(status) and in the log.
    type: str
    default: ''
  copy_of:
    description:
      - Where it is a copy of the vault that gave O(credentials), when that was last known to be
        the same as the vault, in UTC. O(status) has it as the time at which these were last good,
        unless they have been confirmed since. Empty where the vault itself was asked.
    type: str
    default: ''
  by:
    description: Who runs this, for O(status) and the log.
    type: str
    default: ''
  notify:
    description:
      - systemd units that are reloaded once, by C(systemctl try-reload-or-restart), after a new set
        was published. If a run is killed before that, or one of them fails, the next run does it.
    type: list
    elements: str
    default: []
  allow_empty:
    description: Whether an empty set may replace one that is not.
    type: bool
    default: false
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
- name: Publish the credentials of this node
  caspian.airflow.credential_files:
    path: /etc/airflow/credentials
    group: airflow
    credentials:
      EBI-ETL-DEV-01:
        user: etl
        host: db1.example.org
        pass: "{{ etl_password }}"
        metadata: {port: 5432}
    problems:
      EBI-ETL-PROD-01: there is no such record
    status: /etc/airflow/credentials.status.json
    vault: caspian.airflow.kdbx
    notify: [report-server.service]

- name: Publish credentials that belong to an account, which runs this itself
  caspian.airflow.credential_files:
    path: /home/refresh/credentials
    owner: refresh
    credentials: "{{ own_credentials }}"
"""

RETURN = r"""
added:
  description: Names that have a file now and had none.
  returned: success
  type: list
  elements: str
  sample: [EBI-ETL-DEV-01]
updated:
  description: Names whose file had another content.
  returned: success
  type: list
  elements: str
repaired:
  description: Names whose file had another owner, group, mode, access list, type or more links.
  returned: success
  type: list
  elements: str
removed:
  description: Names whose file is gone.
  returned: success
  type: list
  elements: str
kept:
  description: Names out of O(problems) whose last good file stays.
  returned: success
  type: list
  elements: str
layout:
  description: >-
    What was put in order around the files: V(link), V(directory), V(store) (the directory of
    generations, and the key of the fingerprints), V(status) (a status file that was missing,
    damaged, of another owner or mode, or of another generation; not one that is merely older),
    V(leftovers) of a run that was killed.
  returned: success
  type: list
  elements: str
notified:
  description: Units out of O(notify) that were reloaded.
  returned: success
  type: list
  elements: str
published:
  description: >-
    V(true) when the credentials were published and something behind that failed, such as a unit
    that does not reload. The other values are returned then, too.
  returned: failure after publishing
  type: bool
summary:
  description: How many sources are V(current), V(kept) and V(missing), as O(status) has it.
  returned: success
  type: dict
  contains:
    current: {description: Delivered as the vault has them., type: int}
    kept: {description: With their last good file only., type: int}
    missing: {description: Without a file., type: int}
    oldest_last_good_at:
      description: When the one was last good that has not been for longest; V(null) if none was.
      type: str
  sample: {current: 12, kept: 1, missing: 0, oldest_last_good_at: '2026-11-22T17:39:37Z'}
"""

from ansible_collections.caspian.airflow.plugins.module_utils import credential_delivery
from ansible_collections.caspian.airflow.plugins.module_utils.credential_plan import DesiredSet
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import LockedFileError
from ansible_collections.caspian.airflow.plugins.module_utils.secret_module import SecretModule


def main() -> None:
    """Deliver the credentials."""
    module = SecretModule(
        secret="credentials",  # noqa: S106 - the name of an argument
        stand_in={},
        argument_spec={
            "path": {"type": "str", "required": True},
            "credentials": {"type": "dict", "required": True, "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str"},
            "problems": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "status": {"type": "str"},
            "vault": {"type": "str", "default": ""},
            "copy_of": {"type": "str", "default": ""},
            "by": {"type": "str", "default": ""},
            "notify": {"type": "list", "elements": "str", "default": []},
            "allow_empty": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    if not isinstance(module.secret, dict):
        module.fail_json(msg=f"{path}: credentials is not a mapping")
    problems = {name: str(reason) for name, reason in module.params["problems"].items()}
    desired = DesiredSet(module.secret, problems, module.params["keep"])
    # What was asked is part of the result, and these can be thousands.
    module.params["keep"] = f"{len(desired.keep)} names"
    failure = None
    try:
        plan = credential_delivery.deliver(module.params, desired, module.check_mode)
    except credential_delivery.PublishedError as error:
        plan, failure = error.plan, error
    except LockedFileError as error:
        module.fail_json(msg=f"{path}: {error}")
    except OSError as error:
        module.fail_json(msg=f"{path}: {error}; nothing was published, the former set stays")
    result = plan.result()
    # It repeats each of many names, for which nobody has asked.
    if module._diff:
        result["diff"] = plan.diff(path)
    if failure:
        module.fail_json(msg=f"{path}: {failure}", published=True, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
