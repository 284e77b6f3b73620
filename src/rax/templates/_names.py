# SPDX-License-Identifier: Apache-2.0
"""What a new workflow is called: its config, its DAG and its modules, all after one name."""

import functools
import keyword
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata

from rax.errors import CommandError

# Every line that the templates write fits into 100 characters with a name of this length.
MAX_NAME_CHARACTERS = 50
_PART = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
# What a DAG imports from its repository, or what is beside the DAGs in it.
_OWN_FOLDERS = {"configs", "dags", "lib", "local", "tests", "util"}
_FORM = "such as genes.daily or ebi.flights.daily"


@dataclass(frozen=True)
class WorkflowName:
    """The name of a workflow, which is that of its config: ``team.subject`` and more parts.

    >>> WorkflowName.parse("ebi.flights.daily").dag_id
    'ebi_flights_daily'
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "WorkflowName":
        """Take a name apart.

        :raises CommandError: it is none: why, and what to write
        """
        shown = text if len(text) <= MAX_NAME_CHARACTERS else f"{text[:MAX_NAME_CHARACTERS]}…"
        if len(text) > MAX_NAME_CHARACTERS:
            most = f"{len(text)} characters, and {MAX_NAME_CHARACTERS} are the most"
            raise CommandError(f"{shown!r} is no name of a workflow: it has {most}")
        parts = tuple(text.split("."))
        if problem := _problem(parts):
            raise CommandError(f"{shown!r} is no name of a workflow: {problem}")
        return cls(parts)

    def __str__(self) -> str:
        return ".".join(self.parts)

    @property
    def team(self) -> str:
        """The first part: a folder of configs, and of DAGs."""
        return self.parts[0]

    @property
    def dag_id(self) -> str:
        """What Airflow calls it; its module in lib and its test are called so, too."""
        return "_".join(self.parts)

    @property
    def config_file(self) -> str:
        """Its config in the folder of configs."""
        return "/".join(self.parts) + ".yaml"

    @property
    def dag_file(self) -> str:
        """Its file in the folder of DAGs."""
        return f"{self.team}/{'_'.join(self.parts[1:])}.py"

    @property
    def class_name(self) -> str:
        """What classes are called after it."""
        return "".join(word.title() for word in self.dag_id.split("_"))


def _problem(parts: tuple[str, ...]) -> str:
    for part in parts:
        if not part:
            return f"a part of it is empty; write it {_FORM}"
        if not _PART.fullmatch(part):
            return (
                f"its parts are of small letters, digits and single underscores, and begin with a "
                f"letter, {_FORM}"
            )
        if keyword.iskeyword(part):
            return f"{part} is a word of Python, and would be a module here"
    if len(parts) < 2:
        return f"it has two parts or more, joined by points, {_FORM}"
    return _problem_of_folder(parts[0])


def _problem_of_folder(team: str) -> str:
    """Say why a folder of DAGs cannot be called so: Python finds it as a module."""
    if team in _OWN_FOLDERS:
        return f"{team} is a folder of the repository itself; begin with another part"
    if team in sys.stdlib_module_names:
        return f"{team} is a module of Python, which a folder of that name would stand beside"
    if team in _installed():
        return f"{team} is a package of the nodes, which a folder of that name would stand beside"
    return ""


@functools.cache
def _installed() -> Collection[str]:
    return {"airflow", "rax", *metadata.packages_distributions()}
