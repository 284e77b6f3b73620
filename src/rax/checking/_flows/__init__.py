# SPDX-License-Identifier: Apache-2.0
"""Stage 4: the functional tests of workflows, and what a repository lacks of them."""

from rax.checking._finding import Outcome
from rax.checking._project import Project

__all__ = ["check"]


def check(project: Project) -> Outcome:
    """Run the cases of a repository, and look at what their specs leave out.

    :raises CommandError: Airflow cannot be started
    """
    # The other stages, which a node has too, need nothing of what reads specs.
    from rax.checking._flows import _check

    return _check.check(project)
