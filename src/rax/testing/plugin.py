# SPDX-License-Identifier: Apache-2.0
"""The plugin that pytest loads where rax is installed; it does nothing but in a DAG repository.

It is imported in each run of pytest, so what it needs is imported where it is needed.
"""

import pytest


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Prepare this process, before any file of the repository is imported."""
    from rax.errors import CommandError
    from rax.testing import prepare, repository_above

    if (root := repository_above(early_config.invocation_params.dir)) is not None:
        try:
            prepare(root)
        except CommandError as error:
            raise pytest.UsageError(str(error)) from None
