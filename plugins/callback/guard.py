# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what nodes say from steering the terminal and from ending the run of the others."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guard
type: aggregate
short_description: Keep what nodes say from the terminal and from the run of the others
version_added: 0.1.0
description:
  - A node decides what the modules answer that run there. ansible-core prints warnings, errors and
    diffs of an answer as they come, with any escape sequence that is in them, and some answers of a
    wrong type end the run of all hosts.
  - With this callback, what would steer a terminal or mislead a reader is shown as C(\x1b),
    C(\u202e) and so on, in the terminal and in the log; lines of a node's text are indented, so
    that none can be taken for one of Ansible's; and an answer of a wrong form fails the task of
    that host alone.
  - The C(ansible.cfg) of the checkout and of the control node name it. Who installs the collection
    adds C(callbacks_enabled = caspian.airflow.guard) to the section C([defaults]) of their own.
  - It prints nothing itself, and works beside any other callback.
requirements:
  - enabled in the configuration
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.caspian.airflow.plugins.plugin_utils import guard


class CallbackModule(CallbackBase):
    """The callback that Ansible looks up by its name."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "caspian.airflow.guard"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **options: Any) -> None:
        """Begin to guard: Ansible loads callbacks before it asks the first node."""
        super().__init__(*args, **options)
        guard.install(self._display)
