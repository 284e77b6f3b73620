# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a host by a program that changes nothing."""

from __future__ import annotations

from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils.asking import AskingAction


class ActionModule(AskingAction):
    """The action that Ansible looks up by its name."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what the program said; the task fails where it ends with an error."""
        result = super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(
            {
                "argv": {"type": "list", "elements": "str", "required": True},
                "stdin": {"type": "str", "default": ""},
            }
        )
        result.update(self.said(options["argv"], options["stdin"]), changed=False)
        if result["rc"]:
            result.update(failed=True, msg=f"{options['argv'][0]} ended with {result['rc']}")
        return result
