# SPDX-License-Identifier: Apache-2.0
"""Stage 1, files: what can be said of each without running anything of the repository."""

from rax.checking._files import _ruff
from rax.checking._files._syntax import read_trees
from rax.checking._finding import Finding, Outcome, count
from rax.checking._project import Project

__all__ = ["check", "syntax_problems"]


def check(project: Project) -> Outcome:
    """Look at every file of the repository, or at those that have changed.

    :raises CommandError: a tool is missing, or does not do what it is for
    """
    asked = tuple(filter(project.is_asked, project.python_files))
    broken = read_trees(project, asked).broken
    findings = [*broken.values()]
    if not project.gate:
        sound = tuple(file for file in asked if file not in broken)
        findings += _ruff.check(project.root, sound)
    return Outcome(findings, count(len(asked), "file"))


def syntax_problems(project: Project) -> dict[str, Finding]:
    """Return the finding of each file of Python that cannot be compiled."""
    return read_trees(project, project.python_files).broken
