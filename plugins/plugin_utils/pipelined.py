# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of modules that carry secrets, which are delivered with pipelining alone."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class PipelinedAction(ActionBase):
    """Runs a module, through a pipelined connection only."""

    supports_raw_params = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run the module; AnsibleActionFail where pipelining is off."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if not self._connection.is_pipelining_enabled(bool(self._task.async_val)):
            raise AnsibleActionFail(
                "Pipelining is off for this connection, so the secrets would lie in a temporary"
                " file on the node. Turn it on with `pipelining = true` in the section"
                " [connection] of ansible.cfg or with the variable `ansible_pipelining: true`;"
                " ANSIBLE_KEEP_REMOTE_FILES and `async` turn it off."
            )
        result.update(self.deliver(task_vars or {}))
        return result

    def deliver(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the module of the same name; a subclass may run another."""
        result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        return result
