# SPDX-License-Identifier: Apache-2.0
"""The deployment that an author's environment was made from.

``scripts/authors/packages.py`` of the deployment writes it there; nodes and checkouts lack it.
"""

import sys
from pathlib import Path
from typing import NamedTuple


class InstalledDeployment(NamedTuple):
    """What a ``rax.toml`` names, and the commit that it was."""

    repository: str
    ref: str
    commit: str
    python: str


def installed(prefix: str = sys.prefix) -> InstalledDeployment | None:
    """Return the deployment of this environment; None on a node and in a checkout."""
    file = Path(prefix, "deployment.json")
    if not file.is_file():
        return None
    import json

    facts = json.loads(file.read_text(encoding="utf-8"))
    fields = InstalledDeployment._fields
    return InstalledDeployment(**{name: str(facts[name]) for name in fields})
