# SPDX-License-Identifier: Apache-2.0
"""What ``rax new`` writes: a DAG repository, its CI, and a workflow in it.

``repository/`` and ``ci/`` hold the files as they are written, ``workflow/`` those of a workflow.
A name that ends in ``.template`` is filled by ``string.Template`` and loses that ending; so does
what would mean something to tools where it is kept, such as a file of Python, or settings of ruff.
"""

from pathlib import Path

TEMPLATES = Path(__file__).parent
# The systems that the files of ``ci/`` are for: Gitea reads those of GitHub.
CI_SYSTEMS = ("jenkins", "github", "gitlab")
