# SPDX-License-Identifier: Apache-2.0
"""Specs of workflows, from files to what they say."""

import os
from pathlib import Path

from rax.testing._specs._files import FOLDER, SUFFIX
from rax.testing._specs._form import schema
from rax.testing._specs._mistakes import Mistake, SpecError
from rax.testing._specs._reading import made, read

__all__ = ["FOLDER", "SUFFIX", "Mistake", "SpecError", "find", "made", "read", "schema"]


def find(root: Path) -> list[Path]:
    """Return the specs of a repository, sorted; read() refuses one that ends in .flow.yml."""
    return sorted(
        Path(folder, name)
        for folder, _folders, names in os.walk(root / FOLDER)
        for name in names
        if name.endswith((SUFFIX, ".flow.yml"))
    )
