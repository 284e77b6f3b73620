# SPDX-License-Identifier: Apache-2.0
"""The server of a process of pytest: started when the first case runs, ended with pytest."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from rax._laptop import likely_root
from rax.errors import WorkflowError
from rax.testing._engine import Server


class Servers:
    """The servers of the repositories that cases are of; mostly there is one."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[Path, Server] = {}

    def of(self, root: Path) -> Server:
        """Return the server of a repository."""
        if root not in self._servers:
            self._servers[root] = self._stack.enter_context(Server(root))
        return self._servers[root]

    def close(self) -> None:
        """End them all."""
        self._servers.clear()
        self._stack.close()


SERVERS = pytest.StashKey[Servers]()


def server_of(config: pytest.Config, file: Path) -> Server:
    """Return what runs the workflows of the repository that a file is in.

    With pytest-xdist, each worker has its own.

    :raises WorkflowError: it is in none
    """
    root = likely_root(file.parent)
    if root is None:
        raise WorkflowError(f"{file} is in no DAG repository")
    return config.stash.setdefault(SERVERS, Servers()).of(root)
