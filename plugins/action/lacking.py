# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a host what it lacks of packages, services, accounts, paths and links."""

from __future__ import annotations

from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils import lacking
from ansible_collections.caspian.airflow.plugins.plugin_utils.asking import AskingAction

_NAMES = {"type": "list", "elements": "str", "default": []}
_ACCOUNT = {
    "name": {"type": "str", "required": True},
    "group": {"type": "str", "required": True},
    "home": {"type": "str", "required": True},
    "shell": {"type": "str", "required": True},
}
_LINK = {"path": {"type": "str", "required": True}, "to": {"type": "str", "required": True}}
WANTED = {
    "packages": _NAMES,
    "services": _NAMES,
    "paths": _NAMES,
    "links": {"type": "list", "elements": "dict", "default": [], "options": _LINK},
    "accounts": {"type": "list", "elements": "dict", "default": [], "options": _ACCOUNT},
}


class ActionModule(AskingAction):
    """The action that Ansible looks up by its name."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what is lacking; the task fails where nothing can be asked."""
        result = super().run(tmp, task_vars)
        _result, wanted = self.validate_argument_spec(WANTED)
        wanted = {kind: wanted[kind] for kind in WANTED}
        said = self.said(lacking.question(wanted))
        if said["rc"]:
            result.update(
                failed=True,
                msg=f"The host can't be asked what it lacks: sh ended with {said['rc']}",
                **{key: said[key] for key in ("rc", "stdout", "stderr")},
            )
        result.update(lacking.lacking(wanted, said["stdout"]), changed=False)
        return result
