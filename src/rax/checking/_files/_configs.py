# SPDX-License-Identifier: Apache-2.0
"""The configs of a repository: whether get_config() reads them, and whether they hold secrets."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from rax.checking._files._syntax import unreadable
from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._reading import UnreadableError
from rax.config import _files, _yaml
from rax.config._lines import lines_of
from rax.config._secrets import find_connections, find_secrets
from rax.errors import ConfigNotFoundError

FOLDER = "configs"
# The rule of what the strict loader refuses.
REFUSED = "config"
_SUFFIXES = (".yaml", ".yml")
_IN_VAULT = (
    "put it into the vault, declare its name in credentials_sources, and write that name here: "
    "get_credentials() returns the rest. A secret that was committed is known: change it"
)
_UNREACHABLE = "get_config() cannot reach this file"
_REACHABLE = "call it as in configs/genes/daily.yaml: of letters, digits, _ and -"
_NAMED = "write the name of the credential, which has both, and ask get_credentials() for it"


class ConfigFile(NamedTuple):
    """A config that the strict loader takes."""

    file: str
    content: bytes
    values: Mapping[str, Any]


class Configs:
    """The configs of a repository, each of which is read when it is asked for."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._looked_at: dict[str, tuple[ConfigFile | None, list[Finding]]] = {}
        self.files = frozenset(
            file
            for file in project.files
            if file.startswith(f"{FOLDER}/") and PurePosixPath(file).suffix in _SUFFIXES
        )

    def names(self) -> list[str]:
        """Return what get_config() can be asked for."""
        return sorted(name_of(file) for file in self.files if _is_reachable(file))

    def has(self, name: str) -> bool:
        """Return whether get_config() finds a file of that name."""
        return _file_of(name) in self.files

    def get(self, name: str) -> ConfigFile | None:
        """Return a config; None where there is none that the strict loader takes."""
        return self.look_at(_file_of(name))[0] if self.has(name) else None

    def look_at(self, file: str) -> tuple[ConfigFile | None, list[Finding]]:
        """Return what is in one of the files, or what is wrong with it."""
        if file not in self._looked_at:
            self._looked_at[file] = _read(self._project, file)
        return self._looked_at[file]


def find_problems(
    project: Project, configs: Configs, credentials: Collection[str]
) -> Iterator[Finding]:
    """Yield what is wrong with the files of configs by themselves.

    :param credentials: the names of credentials that are known
    """
    for file in filter(project.is_asked, configs.files):
        if not _is_reachable(file):
            yield Finding(file, 0, "config-name", _UNREACHABLE, _REACHABLE, warning=True)
        config, problems = configs.look_at(file)
        yield from problems
        if config is not None:
            yield from _of_values(config, credentials)


def _of_values(config: ConfigFile, credentials: Collection[str]) -> Iterator[Finding]:
    secrets = find_secrets(config.values, credentials)
    connections = find_connections(config.values, credentials)
    lines = lines_of(config.content, {*secrets, *connections})
    for path in secrets:
        problem = f"{path} looks like a secret, and a config must not have one"
        yield Finding(config.file, lines.get(path, 0), "config-secret", problem, _IN_VAULT)
    for path in connections:
        problem = f"{path or 'it'} has a host and a user, which are parts of a credential"
        line = lines.get(path, 0)
        yield Finding(config.file, line, "config-connection", problem, _NAMED, warning=True)


def name_of(file: str) -> str:
    """Return what get_config() calls a file.

    >>> name_of("configs/genes/daily.yaml")
    'genes.daily'
    """
    return ".".join(PurePosixPath(file).with_suffix("").parts[1:])


def _file_of(name: str) -> str:
    return str(_files.path_of(Path(FOLDER), name))


def _is_reachable(file: str) -> bool:
    """Return whether there is a name by which get_config() finds a file."""
    name = name_of(file)
    try:
        _files.check_name(name)
    except ConfigNotFoundError:
        return False
    return _file_of(name) == file


def _read(project: Project, file: str) -> tuple[ConfigFile | None, list[Finding]]:
    try:
        content = project.read(file)
    except (UnreadableError, FileNotFoundError) as error:
        return None, [unreadable(file, error)]
    values, problems = _yaml.read(content)
    if problems:
        return None, [Finding(file, one.line or 0, REFUSED, one.text) for one in problems]
    return ConfigFile(file, content, values), []
