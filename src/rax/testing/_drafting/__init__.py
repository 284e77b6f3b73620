# SPDX-License-Identifier: Apache-2.0
"""A spec to begin with, of what is known of a workflow: ``rax flow new``."""

from pathlib import Path, PurePosixPath

from rax.errors import CommandError
from rax.templates._files import NewFile, in_the_way, write_all
from rax.testing._drafting._text import draft
from rax.testing._drafting._workflow import look_at
from rax.testing._specs import FOLDER, SUFFIX


def new_spec(root: Path, workflow: str) -> PurePosixPath:
    """Write a spec of a workflow, and return where, relative to the repository.

    :param root: the repository, whose DAGs are loaded in this process
    :raises CommandError: there is a spec of it, or no such workflow
    :raises WorkflowError: a DAG file cannot be loaded
    """
    path = PurePosixPath(FOLDER, f"{workflow}{SUFFIX}")
    if ".." not in path.parts and (there := in_the_way(root, [NewFile(path, b"")])):
        raise CommandError(f"nothing is written, since there is already: {', '.join(there)}")
    write_all(root, [NewFile(path, draft(look_at(root, workflow)).encode())])
    return path
