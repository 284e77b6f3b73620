# SPDX-License-Identifier: Apache-2.0
"""Files of Python that no interpreter can run, and the trees of the others."""

from typing import NamedTuple

from rax.checking._compiled import SourceError, compiled
from rax.checking._files._calls import Module, look_at
from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._reading import UnreadableError


class Modules(NamedTuple):
    """The files of Python: what is in them, and why others cannot be run."""

    sound: dict[str, Module]
    broken: dict[str, Finding]


def read_modules(project: Project) -> Modules:
    """Compile the files of Python, those that have not changed only as far as they are asked."""
    found = Modules({}, {})
    for file in project.python_files:
        try:
            tree = compiled(project.read(file), is_known=not project.is_asked(file))
            found.sound[file] = look_at(tree)
        except SourceError as error:
            found.broken[file] = Finding(file, error.line, "syntax", str(error))
        except (UnreadableError, FileNotFoundError) as error:
            found.broken[file] = unreadable(file, error)
    return found


def unreadable(file: str, error: Exception) -> Finding:
    """Return the finding of a file that read_file() does not read."""
    reason = str(error) if isinstance(error, UnreadableError) else "has gone meanwhile"
    return Finding(file, 0, "unreadable", reason, "keep what is no source out of the repository")
