# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git, run with the configuration that this program gives it, in limited time."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from airflow_dag_sync.errors import GitError, OutOfTimeError
from airflow_dag_sync.processes import Deadline, execute
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.text import MAX_REASON_CHARACTERS, one_line, without_userinfo

# What git says after every failure of a transport.
BOILERPLATE = re.compile(
    r"@|fatal: Could not read from remote|Please make sure you have|and the repository exists"
)
# What the server's git says of itself is the cause of what ours says next.
CAUSE = re.compile(r"remote: (fatal|error): ")

CONFIGURATION = (
    # Programs that git would start: none, or those of the system.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=false",
    "gpg.program=gpg",
    "gpg.openpgp.program=gpg",
    "gpg.ssh.program=ssh-keygen",
    "gpg.x509.program=false",
    # What says of a commit, or of a file, other than it does itself.
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.commitGraph=false",
    # A fetch is kept as one pack: no object can stay behind without those that it refers to.
    "fetch.unpackLimit=1",
    "maintenance.auto=false",
    "gc.autoDetach=false",
    # Packing would write files for servers that nobody asks, and a graph that nobody reads.
    "repack.updateServerInfo=false",
    "gc.writeCommitGraph=false",
    # v2.0-rc1 comes before v2.0.
    "versionsort.suffix=-",
)


class Git:
    """Runs git: by itself, or bound to the git directory of one repository."""

    def __init__(
        self, settings: Settings, deadline: Deadline, directory: Path | None = None
    ) -> None:
        self.settings = settings
        self.deadline = deadline
        self.directory = directory
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "ssh:https:file",
        }
        if directory:
            self.environment["GIT_DIR"] = str(directory)
        if settings.private_key:
            self.environment["GIT_SSH_VARIANT"] = "ssh"
            self.environment["GIT_SSH_COMMAND"] = shlex.join(ssh_command(settings))
        configuration = [*CONFIGURATION, *https_configuration(settings)]
        self.options = [word for setting in configuration for word in ("-c", setting)]

    def bound_to(self, directory: Path) -> Git:
        """Return what runs git in one git directory."""
        return Git(self.settings, self.deadline, directory)

    def __call__(
        self, command: str, *arguments: str, stdin: str = "", **environment: object
    ) -> str:
        """Run one git command and return what it prints; raise GitError or OutOfTimeError."""
        words = ("git", *self.options, command, *arguments)
        return self.run(*words, name=f"git {command}", stdin=stdin, **environment)

    def run(self, *command: str, name: str, stdin: str = "", **environment: object) -> str:
        """Run a command in what is left of the time, and return what it prints."""
        variables = self.environment | {key: str(value) for key, value in environment.items()}
        try:
            done = execute(command, environment=variables, seconds=self.deadline.left, stdin=stdin)
        except subprocess.TimeoutExpired:
            limit = self.deadline.seconds
            raise OutOfTimeError(f"{name} did not end within {limit} s") from None
        if done.returncode:
            raise GitError(reason(done.stderr) or f"{name} ended with {done.returncode}")
        return done.stdout.removesuffix("\n")


def ssh_command(settings: Settings) -> list[str]:
    """Make an ssh that trusts only the given host keys and offers only the given key."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": settings.known_hosts,
        "GlobalKnownHostsFile": os.devnull,
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": settings.private_key,
        "ClearAllForwardings": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
    }
    return ["ssh", "-F", os.devnull, *(f"-o{key}={value}" for key, value in options.items())]


def https_configuration(settings: Settings) -> Iterator[str]:
    """Name the token's file, the authorities and the proxy to git; the token is in no argument."""
    if settings.token_file:
        # For this server alone: a redirect or a submodule elsewhere does not get it.
        server = "/".join(settings.repository.split("/", 3)[:3])
        user, file = shlex.quote(settings.token_user), shlex.quote(settings.token_file)
        print_it = f"echo username={user}; printf password=; head -n 1 {file}"
        yield f"credential.{server}.helper=!f() {{ {print_it}; }}; f"
    if settings.ca_file:
        yield f"http.sslCAInfo={settings.ca_file}"
    if settings.proxy:
        yield f"http.proxy={settings.proxy}"


def reason(errors: str) -> str:
    """Pick from git's and ssh's messages the lines that say why, as one line."""
    lines = [line.strip() for line in without_userinfo(errors).splitlines() if line.strip()]
    lines = [line for line in lines if not BOILERPLATE.match(line)] or lines
    causes = [line for line in lines[:-2] if CAUSE.match(line)]
    return one_line("; ".join([*causes[:1], *lines[-2:]]), MAX_REASON_CHARACTERS)


def names_in(listing: str) -> list[str]:
    """Split what git prints with -z."""
    return [name for name in listing.split("\0") if name]


def mode_and_path(line: str) -> tuple[str, str]:
    """Read a line of ls-tree: mode, what else, and after a tab the path."""
    facts, _tab, path = line.partition("\t")
    return facts.partition(" ")[0], path
