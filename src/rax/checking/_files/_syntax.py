# SPDX-License-Identifier: Apache-2.0
"""Files of Python that no interpreter can run, and the trees of the others."""

import ast
from typing import NamedTuple

from rax.checking._compiled import SourceError, compiled
from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._reading import UnreadableError


class Trees(NamedTuple):
    """The files of Python: what is in them, and why others cannot be run."""

    trees: dict[str, ast.Module]
    broken: dict[str, Finding]


def read_trees(project: Project, files: tuple[str, ...]) -> Trees:
    """Compile files of Python."""
    found = Trees({}, {})
    for file in files:
        try:
            found.trees[file] = compiled(project.read(file))
        except SourceError as error:
            found.broken[file] = Finding(file, error.line, "syntax", str(error))
        except (UnreadableError, FileNotFoundError) as error:
            found.broken[file] = unreadable(file, error)
    return found


def unreadable(file: str, error: Exception) -> Finding:
    """Return the finding of a file that read_file() does not read."""
    reason = str(error) if isinstance(error, UnreadableError) else "has gone meanwhile"
    return Finding(file, 0, "unreadable", reason, "keep what is no source out of the repository")
