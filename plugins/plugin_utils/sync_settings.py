# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for the settings of the sync, which the program itself is asked for."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line

MAX_SECONDS = 60
MAX_REASON_CHARACTERS = 400
# The program's exit code for settings that are wrong.
MISCONFIGURED = 2


def sync_settings_problems(
    settings: Mapping[str, Any], program: str, variables: Mapping[str, str] | None = None
) -> list[str]:
    """Return what the program would refuse in these settings, a line each.

    ``program`` is run on this machine. The problems name variables instead of keys, which are
    dag_sync_KEY but for those in ``variables``.
    """
    names = {f"'{key}'": f"dag_sync_{key}" for key in settings}
    names |= {f"'{key}'": name for key, name in (variables or {}).items()}
    return [
        re.sub(r"'\w+'", lambda quoted: names.get(quoted[0], quoted[0]), problem)
        for problem in _ask(str(program), json.dumps(settings))
    ]


# A task evaluates its variables more than once.
@functools.lru_cache(maxsize=1)
def _ask(program: str, settings: str) -> tuple[str, ...]:
    """Run the program's check of settings, and return the lines that it prints."""
    # The repository's URL may have a password in it, which an argument would show to everyone.
    command = [sys.executable, "-I", "-B", "-S", program, "--settings", "-", "check-settings"]
    try:
        done = subprocess.run(  # noqa: S603 - the collection's own program
            command,
            input=settings,
            capture_output=True,
            encoding="utf-8",
            timeout=MAX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AnsibleFilterError(f"sync_settings_problems: {program}: {error}") from None
    if done.returncode not in (0, MISCONFIGURED):
        reason = one_line(done.stderr.strip().rpartition("\n")[2], MAX_REASON_CHARACTERS)
        raise AnsibleFilterError(
            f"sync_settings_problems: {program} ended with {done.returncode}: {reason}"
        )
    problems = done.stdout or (done.stderr if done.returncode else "")
    return tuple(one_line(line) for line in problems.splitlines() if line.strip())
