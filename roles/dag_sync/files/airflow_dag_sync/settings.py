# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings file: its keys, their types, and what no run could work with."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_dag_sync.errors import MisconfiguredError
from airflow_dag_sync.urls import PROXY, REF, URL, URL_WITH_PASSWORD, is_over_ssh

SETTINGS_FILE = Path("/etc/airflow/dag_sync.json")
STDIN = Path("-")

KINDS = {
    "str": "a string",
    "int": "a whole number",
    "bool": "true or false",
    "list[str]": "a list of strings",
}

# What a settings file may leave out, and what that means.
OPTIONAL: dict[str, Any] = {
    "token_user": "",
    "token_file": "",
    "ca_file": "",
    "proxy": "",
    "depth": 0,
    "submodules": True,
    "dags_folder": "dags",
    "allowed_signers": "",
    "openpgp_keys": "",
    "gate_python": "",
    "gate_exclude": [],
    "gate_command": [],
    "gate_timeout_seconds": 300,
    "metrics_file": "",
}
MIN_VALUES = {
    "splay_seconds": 0,
    "timeout_seconds": 1,
    "gate_timeout_seconds": 1,
    "depth": 0,
    "keep_releases": 1,
    "keep_days": 0,
}
ABSOLUTE_PATHS = (
    "link", "token_file", "ca_file", "allowed_signers", "openpgp_keys", "gate_python",
    "metrics_file",
)  # fmt: skip
# A folder inside a release: no part of it is empty, `.` or `..`, and the first is not git's own.
DAGS_FOLDER = re.compile(
    r"\.|(?!\.git(/|$))(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)*"
)


class Settings:
    """What the settings file holds: these keys, and no other."""

    repository: str
    ref: str
    user: str
    link: str
    # over ssh
    private_key: str
    known_hosts: str
    # over https
    token_user: str
    token_file: str
    ca_file: str
    proxy: str
    # what is fetched
    depth: int
    submodules: bool
    timeout_seconds: int
    splay_seconds: int
    # what may be published
    dags_folder: str
    allowed_signers: str
    openpgp_keys: str
    gate_python: str
    gate_exclude: list[str]
    gate_command: list[str]
    gate_timeout_seconds: int
    # what is kept and told
    keep_releases: int
    keep_days: int
    metrics_file: str

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read and check the file; raise MisconfiguredError for the first thing that is wrong."""
        settings = cls.parse(path)
        if problem := next(settings.problems(), None):
            raise MisconfiguredError(f"{path}: {problem}")
        return settings

    @classmethod
    def parse(cls, path: Path) -> Settings:
        """Read the file, or with `-` standard input; keys and types are right then."""
        try:
            text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
            values = json.loads(text)
        except OSError as error:
            raise MisconfiguredError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise MisconfiguredError(f"{path} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise MisconfiguredError(f"{path} does not hold one JSON object")
        values = OPTIONAL | values
        kinds = cls.__annotations__
        if unknown := sorted(values.keys() - kinds.keys()):
            raise MisconfiguredError(f"{path}: unknown key {unknown[0]!r}")
        if missing := sorted(kinds.keys() - values.keys()):
            raise MisconfiguredError(f"{path}: no key {missing[0]!r}")
        settings = cls()
        for key, kind in kinds.items():
            if kind_of(values[key]) != kind:
                raise MisconfiguredError(f"{path}: {key!r} is not {KINDS[kind]}")
            setattr(settings, key, values[key])
        return settings

    def problems(self) -> Iterator[str]:
        """Say what no run could work with; nothing of this host is looked at."""
        yield from self.remote_problems()
        if not REF.fullmatch(self.ref):
            yield (
                f"'ref' {self.ref!r} is not the name of a branch or tag, nor refs/tags/PATTERN, "
                "nor a commit"
            )
        for key in ABSOLUTE_PATHS:
            path = getattr(self, key)
            if (path or key == "link") and not path.startswith("/"):
                yield f"{key!r} {path} is not an absolute path"
        if "\n" in self.gate_python:
            yield "'gate_python' has more than one line"
        if not DAGS_FOLDER.fullmatch(self.dags_folder):
            yield (
                f"'dags_folder' {self.dags_folder} is not a folder inside the repository, "
                "such as dags or airflow/dags, or . for its root"
            )
        if "" in self.gate_command:
            yield "'gate_command' has an empty word"
        for key, least in MIN_VALUES.items():
            if getattr(self, key) < least:
                yield f"{key!r} is less than {least}"

    def remote_problems(self) -> Iterator[str]:
        """Say what is wrong with the repository's address, and with what belongs to it."""
        if URL_WITH_PASSWORD.match(self.repository):
            yield (
                f"'repository' {self.repository} has a user name, password or token in it: "
                "use ssh with a deploy key, or 'token_file'"
            )
        elif not URL.fullmatch(self.repository):
            yield (
                f"'repository' {self.repository} is none of ssh://user@host/path, "
                "user@host:path, https://host/path, file:///path, /path"
            )
        if is_over_ssh(self.repository) and not (self.known_hosts and self.private_key):
            yield "a repository over ssh needs 'known_hosts' and 'private_key'"
        if not self.repository.startswith("https://"):
            for key in ("token_file", "ca_file", "proxy"):
                if getattr(self, key):
                    yield f"{key!r} is for a repository over https"
        if self.token_file and not re.fullmatch(r"[^\x00-\x20:\x7f]+", self.token_user):
            yield "'token_file' needs 'token_user', without blanks or a colon"
        if self.proxy and not PROXY.fullmatch(self.proxy):
            yield f"'proxy' {self.proxy} is not http://host:port, without a user or password"

    def require_files(self) -> None:
        """Refuse files without content, of which git and gpg would say it worse."""
        for key in ("token_file", "ca_file", "allowed_signers", "openpgp_keys"):
            if not (path := getattr(self, key)):
                continue
            try:
                empty = not Path(path).read_bytes().strip()
            except OSError as error:
                raise MisconfiguredError(f"{key!r} {path}: {error.strerror}") from None
            if empty:
                raise MisconfiguredError(f"{key!r} {path} is empty")

    @property
    def signed(self) -> bool:
        """Whether only signed commits are published."""
        return bool(self.allowed_signers or self.openpgp_keys)


def kind_of(value: object) -> str:
    """Name the type of a value as the annotations of Settings do."""
    if isinstance(value, list):
        return "list[str]" if all(isinstance(item, str) for item in value) else "list"
    return type(value).__name__
