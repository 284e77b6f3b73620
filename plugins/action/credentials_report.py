# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down, on the controller, what became of a refresh on all hosts of the play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    refresh_report,
    report_file,
)


class ActionModule(ActionBase):
    """The action that Ansible looks up by its name."""

    _requires_connection = False
    supports_raw_params = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Replace the report as a whole; it is no change of any host."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, options = self.validate_argument_spec(
            {
                "path": {"type": "path", "required": True},
                "vault": {"type": "str", "required": True},
            }
        )
        report = refresh_report.report(
            variables["hostvars"], variables["ansible_play_hosts_all"], vault=options["vault"]
        )
        if not self._task.check_mode:
            try:
                report_file.write(Path(options["path"]), report)
            except OSError as error:
                raise AnsibleActionFail(f"{options['path']}: {error.strerror}") from None
        return result
