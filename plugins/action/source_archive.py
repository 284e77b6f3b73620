# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs files of the controller, in the process that runs the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.caspian.airflow.plugins.plugin_utils.source_archive import PackError, pack

ARGUMENTS: dict[str, dict[str, Any]] = {
    "root": {"type": "path", "required": True},
    "paths": {"type": "list", "elements": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "dest_directory": {"type": "path", "required": True},
}


class ActionModule(ActionBase):
    """The action that Ansible looks up by its name."""

    _requires_connection = False
    supports_raw_params = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Pack them, and return the archive's checksum and path."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _result, given = self.validate_argument_spec(ARGUMENTS)
        try:
            checksum, path = pack(
                Path(given["root"]),
                [str(one) for one in given["paths"]],
                str(given["prefix"]),
                str(given["name"]),
                Path(given["dest_directory"]),
                write=not self._task.check_mode,
            )
        except PackError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=False, checksum=checksum, path=str(path))
        return result
