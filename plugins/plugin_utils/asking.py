# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a host by a program that is there, without sending a module.

A module is compiled anew on each host for each result: a third of a second of processor time, which
a question that finds nothing to do need not cost. What a host answers is text that it may make up.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase


class AskingAction(ActionBase):
    """An action that runs programs on the host as they are."""

    supports_raw_params = False

    def said(self, argv: list[str], stdin: str = "") -> dict[str, Any]:
        """Return what a program said: `rc`, `stdout`, `stderr` and their lines.

        AnsibleConnectionFailure where the host can't be reached.
        """
        # With something to read, ssh makes no terminal, which would mix output and errors.
        return {**self._low_level_execute_command(shlex.join(argv), in_data=f"{stdin}\n".encode())}
