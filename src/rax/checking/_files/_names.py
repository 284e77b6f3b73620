# SPDX-License-Identifier: Apache-2.0
"""Names of configs and credentials that code has as literals, and whether there are such."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from rax.checking._files._calls import GET_CONFIG, Call, Module
from rax.checking._files._configs import Configs
from rax.checking._finding import Finding
from rax.checking._project import TESTS, Project
from rax.checking._reading import UnreadableError
from rax.config._files import near
from rax.credentials import _files, list_credentials
from rax.credentials._files import check_name
from rax.errors import CredentialNotFoundError

# The rule, and how its problem begins: the rest is what get_config() says, too.
MISSING, THERE_IS = "config-missing", "there is "
_ASK = "declare it in credentials_sources of the deployment, and add it to {}"
_ASK_NODE = "declare it in credentials_sources of the deployment, with this node among its hosts"
_LIST = "playbooks/credential_names.yml of the deployment writes this file"


class Credentials:
    """The names of credentials that the deployment has, as the repository or the node has them."""

    def __init__(self, project: Project) -> None:
        self.file = project.settings.credentials
        # None where the repository has no such list.
        self.names: set[str] | None = None
        self.problems: list[Finding] = []
        self.ask = _ASK.format(self.file)
        if project.gate:
            # A node knows what it has, and need not take the repository's word for it.
            self.file, self.ask = str(_files.directory()), _ASK_NODE
            with contextlib.suppress(CredentialNotFoundError):
                self.names = {*list_credentials()}
        elif self.file in project.files:
            try:
                lines = project.read(self.file).decode(errors="replace").splitlines()
            except (UnreadableError, FileNotFoundError) as error:
                self.problems.append(Finding(self.file, 0, "credentials", str(error), _LIST))
                return
            self.names = {*self._names(lines)}

    def lack(self, name: str) -> bool:
        """Return whether there is a list, and it does not have this name."""
        return self.names is not None and name not in self.names

    def _names(self, lines: list[str]) -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            name = line.partition("#")[0].strip()
            if not name:
                continue
            try:
                check_name(name)
            except CredentialNotFoundError as error:
                self.problems.append(Finding(self.file, number, "credentials", str(error), _LIST))
            else:
                yield name


def find_problems(
    project: Project,
    calls: Mapping[str, list[Call]],
    configs: Configs,
    credentials: Credentials,
) -> Iterator[Finding]:
    """Yield the calls that name what is not there.

    :param calls: those of each file
    """
    is_new = project.is_asked(credentials.file)
    for file, found in calls.items():
        for call in found:
            if call.function == GET_CONFIG:
                if not configs.has(call.name):
                    yield _no_config(file, call, configs)
            elif (is_new or project.is_asked(file)) and credentials.lack(call.name):
                problem = f"{call.name!r} is not in {credentials.file}"
                advice = credentials.ask
                if hint := near(call.name, credentials.names or ()):
                    advice = hint.removeprefix(": ")
                yield Finding(file, call.line, "credential", problem, advice, warning=True)


def calls_of(modules: Mapping[str, Module]) -> dict[str, list[Call]]:
    """Return the calls of each file, but for tests, whose names may be made up."""
    return {file: module.calls for file, module in modules.items() if not _is_test(file)}


def _is_test(file: str) -> bool:
    path = PurePosixPath(file)
    return "tests" in path.parts or path.name == "conftest.py" or bool(TESTS.fullmatch(file))


def _no_config(file: str, call: Call, configs: Configs) -> Finding:
    named = f"configs/{call.name.replace('.', '/')}"
    problem = f"{THERE_IS}no config {call.name!r}"
    if f"{named}.yml" in configs.files:
        advice = f"rename {named}.yml to {named}.yaml"
    elif hint := near(call.name, configs.names()):
        advice = hint.removeprefix(": ")
    else:
        advice = f"write {named}.yaml"
    return Finding(file, call.line, MISSING, problem, advice)
