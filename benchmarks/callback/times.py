# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ansible callback that writes down where the time of a run goes."""

# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

import json
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: times
type: aggregate
short_description: Writes the seconds of each task to a JSON file
description:
  - A run is divided without gaps, so that what no module did (loading a role, including tasks)
    counts for the task that caused it.
author: The caspian-deploy maintainers
options:
  path:
    description: The file to write.
    type: path
    required: true
    env:
      - name: BENCH_TIMES
"""


class CallbackModule(CallbackBase):
    """Begins a span at every play and task, which ends where the next one begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.play = ""
        self.spans: list[dict[str, Any]] = []
        self.began = 0.0

    def begin(self, role: str, task: str) -> None:
        """End the span that runs, and begin the next."""
        self.end()
        self.spans.append(
            {"play": self.play, "role": role, "task": task, "results": 0, "changed": 0}
        )

    def end(self) -> None:
        """End the span that runs."""
        now = time.perf_counter()
        if self.spans:
            self.spans[-1]["seconds"] = now - self.began
        self.began = now

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Count the preparation of a play as a task of its own."""
        self.play = play.get_name()
        self.begin("", "(begin the play)")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's signature
        """Begin a task."""
        self.begin(task._role.get_name() if task._role else "", task.name or task.action)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Begin a handler, which is a task too."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count what modules returned: one result for each host, or for each item on it."""
        if not result.task.loop:
            self.spans[-1]["results"] += 1
        self.spans[-1]["changed"] += result.is_changed()

    def v2_runner_item_on_ok(self, result: Any) -> None:  # noqa: ARG002 - Ansible's signature
        """Count an item."""
        self.spans[-1]["results"] += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the spans, and the recap of each host."""
        self.end()
        recap = {host: stats.summarize(host) for host in stats.processed}
        Path(self.get_option("path")).write_text(json.dumps({"spans": self.spans, "recap": recap}))
