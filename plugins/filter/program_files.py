# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a program that is a Python package of a role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils.program_files import (
    program_files as entries,
)


def program_files(source: str, library: str, launcher: str, interpreter: str) -> list[Any]:
    """Return the entries of module `files` that install the package in a folder."""
    if not Path(source, "__main__.py").is_file():
        raise AnsibleFilterError(f"program_files: {source} has no __main__.py")
    return entries(Path(source), library, launcher, interpreter)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the filters' names to the functions."""
        return {"program_files": program_files}
