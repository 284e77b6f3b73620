# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether all is well, of all hosts of the play at once, and writes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    health_report,
    report_file,
)


class ActionModule(ActionBase):
    """The action that Ansible looks up by its name."""

    _requires_connection = False
    supports_raw_params = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Report; the task fails where something is wrong that is not tolerated."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, options = self.validate_argument_spec(
            {
                "path": {"type": "path", "default": ""},
                "tolerate": {"type": "list", "elements": "str", "default": []},
            }
        )
        hostvars, hosts = variables["hostvars"], variables["ansible_play_hosts_all"]
        addresses = {host: str(hostvars[host].get("caspian_address", host)) for host in hosts}
        # Airflow calls a host by its address as URLs have it (rax.airflow.host).
        names = {
            host: [address, f"[{address}]", host.partition(".")[0]]
            for host, address in addresses.items()
        }
        cluster = variables.get(health_report.CLUSTER)
        found = health_report.report(
            health_report.answers_of(hostvars, hosts),
            cluster if isinstance(cluster, Mapping) else {},
            names,
            reference=variables["groups"].get("scheduler", [""])[0],
            now=datetime.now(UTC).replace(microsecond=0),
        )
        if options["path"] and not self._task.check_mode:
            try:
                report_file.write(Path(options["path"]), found)
            except OSError as error:
                raise AnsibleActionFail(
                    f"health_report_path: {options['path']}: {error.strerror}"
                ) from None
        problems = found["problems"]
        grave = [one for one in problems if one["kind"] not in options["tolerate"]]
        # It is what a person has asked for, and is shown without -v.
        result["_ansible_verbose_always"] = True
        result.update(changed=False, failed=bool(grave), msg=_told(problems, grave, len(hosts)))
        return result


def _told(problems: Sequence[dict[str, str]], grave: Sequence[Any], hosts: int) -> str:
    if not problems:
        return f"All is well on {hosts} host{'s' if hosts > 1 else ''}"
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    title = f"Not all is well: {count}" if grave else f"All works, and somebody should see: {count}"
    return "\n".join([title, *health_report.lines(problems)])
