# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module files through a pipelined connection only."""

from __future__ import annotations

from ansible_collections.caspian.airflow.plugins.plugin_utils.pipelined import PipelinedAction


class ActionModule(PipelinedAction):
    """The action that Ansible looks up by the module's name."""
