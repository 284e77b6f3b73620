# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a host its part of what credentials_fetch has fetched.

It takes that from the variables itself: as an argument of the task it would be in the result too.
"""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    credential_sources,
    node_answers,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.pipelined import PipelinedAction

MODULE = "caspian.airflow.credential_files"
# One kind of change can have thousands of names.
MAX_NAMES_SHOWN = 20
_LAST_GOOD = {True: "its last good file stays", False: "it has no file"}


class ActionModule(PipelinedAction):
    """The action that Ansible looks up by its name."""

    def deliver(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Publish the host's set; sources without a good record fail the task at its end."""
        arguments = dict(self._task.args)
        try:
            fetched = json.loads(task_vars[arguments.pop("fetched")]["fetched"])
        except (KeyError, TypeError):
            raise AnsibleActionFail(
                "`fetched` is not the name of a variable that credentials_fetch was registered in"
            ) from None
        host = task_vars["inventory_hostname"]
        mine = credential_sources.for_host(fetched, [host, *task_vars["group_names"]])
        # Where sources are declared, a host that receives none of them is meant to have none.
        if fetched["declared"]:
            arguments["allow_empty"] = True
        result: dict[str, Any] = self._execute_module(
            module_name=MODULE,
            module_args={**arguments, **mine, "by": fetched["by"], "copy_of": fetched["copy_of"]},
            task_vars=task_vars,
        )
        # These are the module's arguments: what they hide is not left to callbacks to decide.
        result.pop("invocation", None)
        # The vault says which sources have a problem, and no node does.
        result.pop("problems", None)
        try:
            told = node_answers.delivered(result)
        except node_answers.AnswerError as error:
            raise AnsibleActionFail(f"The answer of {host} cannot be used: {error}.") from None
        result.update(told)
        told.pop("summary", None)
        if told:
            Display().display(f"{host}: {_in_words(told)}")
        if mine["problems"] and not result.get("failed"):
            kept = result.get("kept", [])
            result["failed"] = True
            result["problems"] = mine["problems"]
            result["msg"] = "\n".join(
                f"{name}: {node_answers.shown(reason)}; {_LAST_GOOD[name in kept]}."
                for name, reason in mine["problems"].items()
            )
        return result


def _in_words(changes: dict[str, list[str]]) -> str:
    words = []
    for kind, names in changes.items():
        more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
        words.append(f"{kind} {', '.join(names[:MAX_NAMES_SHOWN])}{more}")
    return "; ".join(words)
