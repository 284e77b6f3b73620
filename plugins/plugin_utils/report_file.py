# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports as JSON files on the controller."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, report: dict[str, Any]) -> None:
    """Replace the file as a whole, for whoever runs this alone; raise OSError where that fails."""
    aside = path.with_name(f".{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(aside, flags, 0o600), "w") as file:
        json.dump(report, file, indent=2)
    aside.replace(path)
