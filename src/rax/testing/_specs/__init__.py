# SPDX-License-Identifier: Apache-2.0
"""Specs of workflows, from files to what they say.

``flow.schema.json`` is the form of a spec, for editors and for what is read here; the title of each
of its parts is what a message says is expected. What no schema can say is looked at afterwards:
files, names, and what is given to a case against what is expected of it::

    workflow: genes_daily
    given:
      postgres: {GENES-DB-01: before.sql}
      http: {PAGES-WEB-01: site, GENES-WEB-01: {GET /genes?page=1: {json: [1, 2]}}}
      files: [genes.csv]
    cases:
      good:
        expect:
          tasks: {load: {returns: 2, GENES-DB-01: {SELECT * FROM gene: all.csv}}}
      the source is down:
        given: {down: [GENES-WEB-01]}
        expect: {check: source_answers, alerts: ["trigger: does not answer"]}
"""

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
