# SPDX-License-Identifier: Apache-2.0
"""The names of credentials that there are, as the repository or the node has them."""

import contextlib
from collections.abc import Iterator

from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._reading import UnreadableError
from rax.config._files import near
from rax.credentials import _files, list_credentials
from rax.credentials._files import check_name
from rax.errors import CredentialNotFoundError

_UNKNOWN, _NO_LIST = "credential", "credentials"
_ASK = "declare it in credentials_sources of the deployment, and add it to {}"
_ASK_NODE = "declare it in credentials_sources of the deployment, with this node among its hosts"
_WRITE = "playbooks/credential_names.yml of the deployment writes this file"


class Credentials:
    """The names of credentials that the deployment has; those of this node for its gate."""

    def __init__(self, project: Project) -> None:
        self.file = project.settings.credentials
        # None where the repository has no such list.
        self.names: set[str] | None = None
        self.problems: list[Finding] = []
        self._ask = _ASK.format(self.file)
        if project.gate:
            # A node knows what it has, and need not take the repository's word for it.
            self.file, self._ask = str(_files.directory()), _ASK_NODE
            with contextlib.suppress(CredentialNotFoundError):
                self.names = {*list_credentials()}
        elif self.file in project.files:
            try:
                lines = project.read(self.file).decode(errors="replace").splitlines()
            except (UnreadableError, FileNotFoundError) as error:
                self.problems.append(Finding(self.file, 0, _NO_LIST, str(error), _WRITE))
                return
            self.names = {*self._names(lines)}

    def lack(self, name: str) -> bool:
        """Return whether there is a list, and it does not have this name."""
        return self.names is not None and name not in self.names

    def unknown(self, name: str, file: str, line: int, said: str) -> Finding:
        """Return what there is to say of a name that they lack.

        :param said: what that place of the file says
        """
        problem = f"{said} is not in {self.file}"
        advice = near(name, self.names or ()).removeprefix(": ") or self._ask
        return Finding(file, line, _UNKNOWN, problem, advice, warning=True)

    def _names(self, lines: list[str]) -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            name = line.partition("#")[0].strip()
            if not name:
                continue
            try:
                check_name(name)
            except CredentialNotFoundError as error:
                self.problems.append(Finding(self.file, number, _NO_LIST, str(error), _WRITE))
            else:
                yield name
