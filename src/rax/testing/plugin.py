# SPDX-License-Identifier: Apache-2.0
"""The plugin that pytest loads where rax is installed; it does nothing but in a DAG repository.

It is imported in each run of pytest, so what it needs is imported where it is needed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rax.testing._run_workflow import WorkflowRun

_SPEC = ".flow.yaml"


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Prepare this process, before any file of the repository is imported."""
    from rax._laptop import likely_root
    from rax.errors import CommandError
    from rax.testing import prepare

    if (root := likely_root(early_config.invocation_params.dir)) is not None:
        try:
            prepare(root)
        except CommandError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the specs of workflows: an item for each case."""
    if not file_path.name.endswith(_SPEC):
        return None
    from rax.testing._items import SpecFile, is_spec

    return SpecFile.from_parent(parent, path=file_path) if is_spec(file_path) else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process that has run cases, if there is one."""
    from rax.testing._servers import SERVERS

    if (servers := config.stash.get(SERVERS, None)) is not None:
        servers.close()


@pytest.fixture
def run_workflow(request: pytest.FixtureRequest) -> Callable[..., "WorkflowRun"]:
    """Run a workflow once in a case of its own, for what has to be computed: see ``WorkflowRun``.

    ``run_workflow("genes_daily", given={"files": ["genes.csv"]})`` takes what a spec takes for
    ``given``, with paths beside the file of the test; ``tables``, the queries whose rows are
    wanted, by the names of their databases' credentials; and ``files``, those of the case's folder
    whose content is wanted.
    """
    from rax.testing._run_workflow import run
    from rax.testing._servers import server_of

    def run_workflow(workflow: str, **options: Any) -> "WorkflowRun":
        return run(server_of(request.config, request.path), request.path, workflow, **options)

    return run_workflow
