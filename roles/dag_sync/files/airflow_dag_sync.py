#!/usr/bin/python3 -IS
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a git repository: every commit a tree of its own, and one link flipped between them.

    LINK -> .LINK/releases/<sha>       what readers follow, once, and then stay on
    .LINK/releases/<sha>/              a plain tree; under this name it is complete
    .LINK/repository.git/              git's own, made anew when damaged
    .LINK/{state.json,last_success}
    .LINK/lock                         who publishes; .LINK/repository.lock: who brings a release

Nothing that is published is ever written to, but to make good what somebody else has changed in
it; so whatever fails leaves the last good tree. Each step works on a temporary name
(`.<random>.tmp`, cleared by the next run) and ends in a rename, so a run may be killed anywhere.

A reader that must not lose its release holds a shared flock on the release's directory:

    fd = os.open(path := os.path.realpath(LINK), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    os.path.samestat(os.fstat(fd), os.stat(path))    # False or FileNotFoundError: begin again

Whoever uses a release may set its modification time: retention counts from there.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import syslog
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

SETTINGS = Path("/etc/airflow/dag_sync.json")
EXIT_CODES = """\
exit codes:
  0  done, nothing to do, or another run is at work
  1  failed on this host (the message says where)
  2  misconfigured: an argument, a setting, or a ref or commit that the repository lacks
  3  the repository cannot be reached or read, or the time-out is over
  4  blocked: the commit does not pass the gate, or nobody allowed has signed it. The last good
     release stays. Cron does not try the same commit again, a run without --splay does.
"""
SAY_AGAIN_SECONDS = 3600
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
NAMED = 5  # paths in a message; of more it says how many
LONGEST_LINE, LONGEST_REASON = 2000, 400  # characters
LATEST = 2**37  # seconds; later than that is no year of four digits
# As in rax._printable, which this program cannot import: what is invisible, and half an escape.
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0d\uffa0"
HIDDEN = re.compile(f"[{INVISIBLE}\U000e0100-\U000e01ef]")
HALF = re.compile(r"\\(x[0-9a-f]?|u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?$")

FULL_SHA = re.compile(r"[0-9a-f]{40}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
# The role's preflight has the same four (vars/main.yml).
URL_WITH_PASSWORD = re.compile(r"https?://[^/]*@|\w+://[^/@]*:[^/]*@|[^/@]+:[^/@]+@")
URL = re.compile(
    r"/[^\x00-\x1f]+|file:///[^\s]+"
    r"|https://(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/[^\s]+"
    r"|ssh://((?!-)[^\s/@:]+@)?(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/[^\s]+"
    r"|((?!-)[^\s/@:]+@)?(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\]):(?!:|//)[^\s@]+"
)
REF = re.compile(
    r"(?![-/.])(?!.*(\.\.|//|/\.|@\{|\.lock(/|$)))(?!@$)"
    r"(refs/tags/[^\x00-\x20\x7f~^:\[\\]+|[^\x00-\x20\x7f~^:?*\[\\]+)(?<![/.])"
)
PROXY = re.compile(r"https?://(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/?")
# For messages. Rather more than needed, but not the plain user of an ssh URL.
USERINFO = re.compile(r"(?<=://)(?!(?<=ssh://)[^\s/@:]+@)\S*@|[^\s/@:'\"]+:[^\s/@]+@")
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
# What git says after every failure of a transport.
BOILERPLATE = re.compile(
    r"@|fatal: Could not read from remote|Please make sure you have|and the repository exists"
)
ALL_HISTORY = "2147483647"  # what git takes for no limit, also to complete a shallow repository
SUBMODULE_LEVELS = 10
GITLINK, SYMLINK = "160000", "120000"  # modes in git's trees


class SyncError(Exception):
    """What ends a run; its message is for a person and names nothing secret."""

    code = 1
    said_lately = False

    def __init__(self, message: str) -> None:
        """Mask what may be a password or token in a URL."""
        super().__init__(without_userinfo(message))

    @property
    def told(self) -> str:
        """The line that ends the run."""
        return f"failed: {self}"


class MisconfiguredError(SyncError):
    """An argument, a setting or a ref is wrong."""

    code = 2


class UnreachableError(SyncError):
    """The repository does not answer, or does not give what it promised."""

    code = 3


class OutOfTimeError(SyncError):
    """The time of the whole run is over."""

    code = 3


class BlockedError(SyncError):
    """A commit must not be published; only another commit, or other settings, change that."""

    code = 4

    def __init__(self, sha: str, reason: str) -> None:
        """Name the commit and why."""
        super().__init__(reason)
        self.sha = sha

    @property
    def told(self) -> str:
        """The line that ends the run."""
        return f"blocked {self.sha}: {self}"


class BusyError(SyncError):
    """Another run is at work."""


class GitError(SyncError):
    """A git command ended with an error."""


KINDS = {
    "str": "a string",
    "int": "a whole number",
    "bool": "true or false",
    "list[str]": "a list of strings",
}


# What a settings file may leave out, and what that means.
OPTIONAL = {
    "token_user": "",
    "token_file": "",
    "ca_file": "",
    "proxy": "",
    "depth": 0,
    "submodules": True,
    "allowed_signers": "",
    "openpgp_keys": "",
    "gate_python": "",
    "gate_exclude": [],
    "gate_command": [],
    "gate_timeout_seconds": 300,
    "metrics_file": "",
}


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
        """Read and check the file."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
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
        if problem := next(settings.problems(), None):
            raise MisconfiguredError(f"{path}: {problem}")
        return settings

    def problems(self) -> Iterator[str]:
        """Say what no run could work with."""
        if URL_WITH_PASSWORD.match(self.repository):
            yield (
                f"'repository' {self.repository} has a user name, password or token in it: "
                "use ssh with a deploy key, or 'token_file'"
            )
        if not URL.fullmatch(self.repository):
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
        if self.token_file and not re.fullmatch(r"[^\s:]+", self.token_user):
            yield "'token_file' needs 'token_user', without blanks or a colon"
        if self.proxy and not PROXY.fullmatch(self.proxy):
            yield f"'proxy' {self.proxy} is not http://host:port, without a user or password"
        if not REF.fullmatch(self.ref):
            yield (
                f"'ref' {self.ref!r} is not the name of a branch or tag, nor refs/tags/PATTERN, "
                "nor a commit"
            )
        for key in ("link", "token_file", "ca_file", "allowed_signers", "openpgp_keys",
                    "gate_python", "metrics_file"):  # fmt: skip
            path = getattr(self, key)
            if (path or key == "link") and not path.startswith("/"):
                yield f"{key!r} {path} is not an absolute path"
        if self.gate_command and not self.gate_command[0]:
            yield "'gate_command' begins with an empty word"
        for key, least in (
            ("splay_seconds", 0),
            ("timeout_seconds", 1),
            ("gate_timeout_seconds", 1),
            ("depth", 0),
            ("keep_releases", 1),
            ("keep_days", 0),
        ):
            if getattr(self, key) < least:
                yield f"{key!r} is less than {least}"

    def require_files(self) -> None:
        """Look whether there is something in the files that git and gpg read: they say it worse."""
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


def is_over_ssh(url: str) -> bool:
    """Whether git runs ssh for this repository."""
    return not is_local(url) and not url.startswith("https://")


def execute(
    command: Iterable[str],
    *,
    environment: dict[str, str],
    seconds: float,
    cwd: str | Path = "/",
    stdin: str = "",
    output: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends, with all that it started, when this program ends, however it does.

    Raises TimeoutExpired. An output other than a pipe takes its errors too.
    """
    process = subprocess.Popen(  # noqa: S603 - no shell; from checked settings
        # kill -9 of this program leaves it no time to end its child: the kernel does.
        ["setpriv", "--pdeathsig", "KILL", *command],  # noqa: S607 - cron sets PATH
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE if output == subprocess.PIPE else subprocess.STDOUT,
        env=environment,
        cwd=cwd,
        start_new_session=True,
        encoding="utf-8",
        # Names of files are bytes.
        errors="surrogateescape",
    )
    try:
        told, errors = process.communicate(stdin or None, timeout=max(0, seconds))
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(process.args, process.returncode, told, errors)


class Git:
    """Runs git with nothing of the account's or the system's configuration, in limited time."""

    # A fetch is kept as one pack: no object can stay behind without those that it refers to.
    CONFIGURATION = (
        "core.hooksPath=/dev/null",
        "fetch.unpackLimit=1",
        "maintenance.auto=false",
        "gc.autoDetach=false",
        # v2.0-rc1 comes before v2.0.
        "versionsort.suffix=-",
    )

    def __init__(self, settings: Settings) -> None:
        """Start the clock of the whole run."""
        self.timeout = settings.timeout_seconds
        self.deadline = time.monotonic() + self.timeout
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "ssh:https:file",
        }
        if settings.private_key:
            self.environment["GIT_SSH_VARIANT"] = "ssh"
            self.environment["GIT_SSH_COMMAND"] = shlex.join(ssh_command(settings))
        configuration = [*self.CONFIGURATION, *https_configuration(settings)]
        self.options = [word for setting in configuration for word in ("-c", setting)]

    def __call__(
        self, command: str, *arguments: str, stdin: str = "", **environment: object
    ) -> str:
        """Run one git command and return what it prints."""
        words = ("git", *self.options, command, *arguments)
        return self.run(*words, name=f"git {command}", stdin=stdin, **environment)

    def run(self, *command: str, name: str, stdin: str = "", **environment: object) -> str:
        """Run a command in what is left of the time, and return what it prints."""
        variables = self.environment | {key: str(value) for key, value in environment.items()}
        seconds = self.deadline - time.monotonic()
        try:
            done = execute(command, environment=variables, seconds=seconds, stdin=stdin)
        except subprocess.TimeoutExpired:
            raise OutOfTimeError(f"{name} did not end within {self.timeout} s") from None
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
    telling = [line for line in lines if not BOILERPLATE.match(line)] or lines
    return one_line("; ".join(telling[-2:]), LONGEST_REASON)


def without_userinfo(text: str) -> str:
    """Mask what may be a password or token in a URL, which a cut would leave without its @."""
    return USERINFO.sub("***@", text)


def names_in(listing: str) -> list[str]:
    """Split what git prints with -z."""
    return [name for name in listing.split("\0") if name]


def join_url(base: str, url: str) -> str:
    """Make the URL of a submodule absolute, as git does: relative to the repository that has it."""
    if not url.startswith(("./", "../")):
        return url
    base, separator = base.rstrip("/"), "/"
    while True:
        if url.startswith("./"):
            url = url[2:]
        elif url.startswith("../"):
            url = url[3:]
            if "/" in base:
                base = base.rpartition("/")[0]
            else:  # git@host:team
                base, separator = base.rpartition(":")[0], ":"
        else:
            return base + separator + url


class Repository:
    """What git has here, and how it is fetched, judged and written out."""

    def __init__(self, settings: Settings, root: Path, say: Callable[..., None]) -> None:
        """Name the paths; nothing is read yet."""
        self.settings = settings
        self.url = settings.repository
        self.root = root
        self.path = root / "repository.git"
        self.say = say
        self.git = Git(settings)

    def through(self, action: Callable[[Path], object]) -> object:
        """Do something with the repository, and when it fails, with one that is made anew.

        Nobody else is at it meanwhile. The gate is outside: a task that lacks a release does not
        wait for it.

        A lock left by a killed git, lost objects, another format: rather than to tell them apart,
        see whether a new repository serves. The old one stays until it does.
        """
        with self.locked():
            damage = None
            if self.path.exists():
                try:
                    return action(self.path)
                except (GitError, UnreachableError) as error:
                    damage = error
            fresh = temporary(self.root)
            self.git("init", "--quiet", "--bare", "--template=", str(fresh))
            result = action(fresh)
            if damage:
                self.say(f"{self.path} was damaged, made anew: {damage}", syslog.LOG_WARNING)
                self.path.replace(temporary(self.root))
            fresh.replace(self.path)
            return result

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Be the only one who changes the repository and makes releases."""
        return locked(self.root / "repository.lock", self.git.deadline)

    # What the server has

    def resolve(self) -> tuple[str, str | None]:
        """Ask the server, once, which commit the ref is, and for the ref's full name."""
        ref = self.settings.ref
        if FULL_SHA.fullmatch(ref):
            return ref, None
        if "*" in ref or "?" in ref:
            return self.newest_tag(ref)
        if ref == "HEAD" or ref.startswith("refs/"):
            names = [ref]
        else:
            # As `git switch` does: a branch before a tag of the same name.
            names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        found = self.ask(*(pattern for name in names for pattern in (name, f"{name}^{{}}")))
        for name in names:
            # An annotated tag is an object of its own; its commit has the name with ^{}.
            if sha := found.get(f"{name}^{{}}", found.get(name)):
                return sha, name
        hint = "; a commit takes all its 40 characters" if SHORT_SHA.fullmatch(ref) else ""
        raise MisconfiguredError(f"{self.url} has no branch or tag {ref}{hint}")

    def newest_tag(self, pattern: str) -> tuple[str, str]:
        """Ask for the last of the matching tags, in the order of versions."""
        found = self.ask(pattern, f"{pattern}^{{}}")
        tags = [name for name in found if is_named(name, pattern) and not name.endswith("^{}")]
        if not tags:
            raise MisconfiguredError(f"{self.url} has no tag that matches {pattern}")
        return found.get(f"{tags[-1]}^{{}}", found[tags[-1]]), tags[-1]

    def ask(self, *patterns: str) -> dict[str, str]:
        """List refs of the server and their objects, in the order of versions."""
        # A server has more than branches and tags; with these it sends no more than needed.
        kinds = {"refs/heads/": "--heads", "refs/tags/": "--tags"}
        limits = {
            next((kinds[kind] for kind in kinds if pattern.startswith(kind)), "")
            for pattern in patterns
        }
        options = [] if "" in limits else sorted(limits)
        where = (*transport(self.url), "--", self.url, *patterns)
        try:
            output = self.git("ls-remote", "--sort=version:refname", *options, *where)
        except GitError as error:
            raise UnreachableError(f"{self.url} cannot be read: {error}") from None
        refs = [line.split("\t", 1) for line in output.splitlines() if "\t" in line]
        if odd := next((sha for sha, _ in refs if not FULL_SHA.fullmatch(sha)), None):
            raise UnreachableError(f"{self.url} names {odd[:80]!r}, which is no sha-1")
        return {name: sha for sha, name in refs}

    # What is fetched

    def obtain(self, at: Path, sha: str, refname: str | None = None) -> str:
        """Have a commit here, or what the ref has become meanwhile; return its sha."""
        if not refname:
            self.obtain_commit(at, self.url, sha, "refs/sync/asked")
            return sha
        self.fetch(at, self.url, f"+{refname}:refs/sync/tip")
        return self.git("rev-parse", "--verify", "refs/sync/tip^{commit}", GIT_DIR=at)

    def obtain_commit(self, at: Path, url: str, sha: str, name: str) -> None:
        """Have a commit here; without network when it is."""
        if self.has(at, sha, "commit"):
            return
        # Not every server gives a commit by its sha; then the history that has it.
        with contextlib.suppress(UnreachableError):
            self.fetch(at, url, f"+{sha}:{name}")
        if not self.has(at, sha, "commit"):
            everything = (f"+refs/heads/*:{name}-heads/*", f"+refs/tags/*:{name}-tags/*")
            self.fetch(at, url, *everything, depth=0)
        if not self.has(at, sha, "commit"):
            raise MisconfiguredError(f"{url} has no commit {sha}")

    def has(self, at: Path, sha: str, kind: str) -> bool:
        """Whether a commit or a tree needs no network."""
        try:
            self.git("cat-file", "-e", f"{sha}^{{{kind}}}", GIT_DIR=at)
        except GitError:
            return False
        return True

    def fetch(self, at: Path, url: str, *refspecs: str, depth: int | None = None) -> None:
        """Fetch exactly these."""
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        depth = self.settings.depth if depth is None else depth
        if depth:
            options.append(f"--depth={depth}")
        elif (at / "shallow").exists():
            options.append(f"--depth={ALL_HISTORY}")
        try:
            self.git("fetch", *options, *transport(url), "--", url, *refspecs, GIT_DIR=at)
        except GitError as error:
            raise UnreachableError(f"{url} cannot be fetched: {error}") from None

    def tree(self, at: Path, sha: str) -> str:
        """Return the tree of a commit with the trees of its submodules in it."""
        return self.flat_tree(at, self.url, sha, sha, 0)

    def flat_tree(self, at: Path, url: str, sha: str, release: str, level: int) -> str:
        """Return the tree of a commit of this or, on deeper levels, another repository."""
        tree = self.git("rev-parse", "--verify", f"{sha}^{{tree}}", GIT_DIR=at)
        if not self.settings.submodules:
            return tree
        listing = names_in(self.git("ls-tree", "-r", "-z", tree, GIT_DIR=at))
        entries = [line.partition("\t") for line in listing if line.startswith(GITLINK)]
        if not entries:
            return tree
        if level == SUBMODULE_LEVELS:
            raise BlockedError(release, f"its submodules are more than {level} levels deep")
        urls = self.submodule_urls(at, tree)
        # update-index wants a work tree, and looks at none here.
        where = {"GIT_DIR": at, "GIT_INDEX_FILE": temporary(self.root), "GIT_WORK_TREE": self.root}
        self.git("read-tree", tree, **where)
        remove = "".join(f"0 {'0' * 40}\t{path}\0" for _, _, path in entries)
        self.git("update-index", "-z", "--index-info", stdin=remove, **where)
        for mode_and_object, _, path in entries:
            commit = mode_and_object.split()[2]
            their = join_url(url, urls.get(path, ""))
            trusted = URL.fullmatch(their) and not URL_WITH_PASSWORD.match(their)
            # A path or file:// would be one of this host, which no author of DAGs may choose.
            if not trusted or (is_local(their) and not is_local(url)):
                what = f"the URL {their}, which is not supported" if their else "no URL"
                raise BlockedError(release, f"its submodule {path} has {what} in .gitmodules")
            if is_over_ssh(their) and not (self.settings.private_key and self.settings.known_hosts):
                raise BlockedError(
                    release, f"its submodule {path} needs 'private_key' and 'known_hosts' ({their})"
                )
            name = f"refs/sync/submodules/{zlib.crc32(their.encode()):08x}"
            self.obtain_commit(at, their, commit, name)
            inner = self.flat_tree(at, their, commit, release, level + 1)
            self.git("read-tree", f"--prefix={path}/", inner, **where)
        return self.git("write-tree", **where)

    def submodule_urls(self, at: Path, tree: str) -> dict[str, str]:
        """Read .gitmodules: the URL of each path."""
        arguments = ("--blob", f"{tree}:.gitmodules", "-z", "--list")
        try:
            listing = names_in(self.git("config", *arguments, GIT_DIR=at))
        except GitError:
            return {}
        values = dict(entry.partition("\n")[::2] for entry in listing)
        return {
            path: values.get(key.removesuffix(".path") + ".url", "")
            for key, path in values.items()
            if key.startswith("submodule.") and key.endswith(".path")
        }

    # What is judged

    def require_signature(self, at: Path, sha: str, refname: str | None) -> str | None:
        """Refuse a commit when nobody allowed has signed it, nor the tag that is followed.

        Return the ref of the tag when it is the tag alone that is signed.
        """
        home = temporary(self.root)
        home.mkdir(mode=0o700)
        self.import_openpgp_keys(home)
        signers = self.settings.allowed_signers or os.devnull
        settings = (f"gpg.ssh.allowedSignersFile={signers}", "gpg.x509.program=false")
        options = [word for setting in settings for word in ("-c", setting)]

        def problem(command: str, name: str) -> str | None:
            words = ("git", *self.git.options, *options, command, name)
            try:
                self.git.run(*words, name=command, GIT_DIR=at, GNUPGHOME=home)
            except GitError as error:
                silent = str(error) == f"{command} ended with 1"
                return "it has no signature" if silent else str(error)
            return None

        if not (why := problem("verify-commit", sha)):
            return None
        for tag, name in self.tags_of(at, sha, refname):
            if not problem("verify-tag", tag):
                return name
        raise BlockedError(sha, f"none of the allowed signers has signed it: {why}")

    def import_openpgp_keys(self, home: Path) -> None:
        """Make a keyring of the allowed keys alone."""
        keys = self.settings.openpgp_keys
        if not keys:
            return
        # The old format of a keyring needs no agent, whose socket has no room in a long path.
        ring = ("--output", str(home / "pubring.gpg"), "--dearmor", keys)
        words = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--no-autostart", *ring)
        try:
            self.git.run(*words, name="gpg --dearmor")
        except GitError as error:
            raise MisconfiguredError(f"'openpgp_keys' {keys}: {error}") from None

    def tags_of(self, at: Path, sha: str, refname: str | None) -> list[tuple[str, str]]:
        """List the tag objects of a commit that the followed ref names, and their refs.

        A tag object counts under its own name alone: else a signed tag could be pushed again under
        another, newer name.
        """
        if refname:
            names, pattern = "refs/sync/tip", refname
        else:
            # `fetch` is given the commit alone.
            names, pattern = "refs/sync/tags", self.settings.ref
            self.fetch(at, self.url, "+refs/tags/*:refs/sync/tags/*")
        listing = self.git(
            "for-each-ref", f"--points-at={sha}", "--format=%(objectname) %(tag)", names, GIT_DIR=at
        )
        tags = [line.partition(" ") for line in listing.splitlines()]
        found = [(tag, f"refs/tags/{name}") for tag, _, name in tags if name]
        return [(tag, name) for tag, name in found if is_named(name, pattern)]

    def require_no_lfs(self, at: Path, sha: str, tree: str) -> None:
        """Refuse what would be published as pointers instead of data."""
        pattern = ("-l", "-z", "-E", "-e", "^[^#]*filter=lfs", tree)
        try:
            found = self.git("grep", *pattern, "--", ":(glob)**/.gitattributes", GIT_DIR=at)
        except GitError:
            return  # It ends with 1 when there is nothing.
        files = [name.partition(":")[2] for name in names_in(found)]
        raise BlockedError(sha, f"files in git LFS are not supported ({named(files)})")

    def paths_to_check(self, at: Path, old: str, new: str) -> list[str]:
        """List the paths that a tree has otherwise than one that has passed, or in addition.

        And all links: where one leads depends on others.
        """
        options = ("-r", "-z", "--name-only", "--no-renames", "--diff-filter=d")
        changed = names_in(self.git("diff-tree", *options, old, new, GIT_DIR=at))
        listing = map(mode_and_path, names_in(self.git("ls-tree", "-r", "-z", new, GIT_DIR=at)))
        return sorted({*changed, *(path for mode, path in listing if mode == SYMLINK)})

    # What is written out

    def keep(self, at: Path, sha: str, tree: str) -> None:
        """Have git keep a release's objects as long as the release."""
        references = ((f"refs/sync/releases/{sha}", sha), (f"refs/sync/trees/{sha}", tree))
        commands = "".join(f"update {name} {value}\n" for name, value in references)
        self.git("update-ref", "--stdin", stdin=commands, GIT_DIR=at)

    def let_go(self, shas: Iterable[str]) -> None:
        """Let git tidy up what only these releases needed."""
        names = [f"refs/sync/{kind}/{sha}" for sha in shas for kind in ("releases", "trees")]
        commands = "".join(f"delete {name}\n" for name in names)
        with self.locked():
            if commands:
                self.git("update-ref", "--stdin", stdin=commands, GIT_DIR=self.path)
            self.git("gc", "--auto", "--quiet", GIT_DIR=self.path)

    def check_out(self, at: Path, tree: str, release: Path) -> None:
        """Write a whole tree aside, bring it to the disk, and give it its name."""
        aside, index = temporary(release.parent), temporary(release.parent)
        aside.mkdir()
        where = {"GIT_DIR": at, "GIT_WORK_TREE": aside, "GIT_INDEX_FILE": index}
        self.git("read-tree", "-m", "-u", tree, **where)
        self.git.run("sync", "--file-system", str(aside), name="sync")
        aside.replace(release)
        synchronise(release.parent)

    def restore(self, at: Path, tree: str, release: Path) -> str:
        """Make a release again what its tree is, file by file, and say what was not."""
        index = temporary(self.root)
        where = {"GIT_DIR": at, "GIT_WORK_TREE": release, "GIT_INDEX_FILE": index}
        # Then all of it can be read, and removed.
        modes = restore_modes(release)
        self.git("read-tree", tree, **where)
        # First what is not the commit's: attributes among it would hide what has been edited.
        listing = names_in(self.git("ls-files", "-s", "-z", **where))
        added = additions(release, {path: mode for mode, path in map(mode_and_path, listing)})
        for path in added:
            remove(release / path)
        self.git("update-index", "-q", "--refresh", **where)
        status = names_in(self.git("diff-files", "-z", "--name-status", **where))
        changed = dict(zip(status[1::2], status[::2], strict=True))
        if changed:
            # Aside first: each file appears whole.
            aside = temporary(release.parent)
            aside.mkdir()
            paths = "".join(f"{path}\0" for path in changed)
            where["GIT_WORK_TREE"] = aside
            self.git("checkout-index", "-z", "--stdin", "--force", stdin=paths, **where)
            for path in changed:
                target = release / path
                if target.is_dir() and not target.is_symlink():
                    remove(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                (aside / path).replace(target)
        found = {
            "edited": [path for path, kind in changed.items() if kind != "D"],
            "added": added,
            "missing": [path for path, kind in changed.items() if kind == "D"],
            "mode of": [
                path for path in modes if path not in changed and not is_below(path, added)
            ],
        }
        return ", ".join(f"{what} {named(paths)}" for what, paths in found.items() if paths)


def mode_and_path(line: str) -> tuple[str, str]:
    """Read a line of ls-files or ls-tree: mode, what else, and after a tab the path."""
    facts, _, path = line.partition("\t")
    return facts.partition(" ")[0], path


def additions(release: Path, tracked: dict[str, str]) -> list[str]:
    """List what is in a release and not in its tree, of a folder not what is in it.

    Also what git does not see: empty folders, pipes, whatever is below a `.git`.
    """
    folders = {path for path, mode in tracked.items() if mode == GITLINK}
    for path in tracked:
        while (path := os.path.dirname(path)) and path not in folders:  # noqa: PTH120 - a name
            folders.add(path)
    found, left = [], [""]
    while left:
        folder = left.pop()
        with os.scandir(release / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path in folders and entry.is_dir(follow_symlinks=False):
                    left.append(path)
                elif path not in tracked:
                    found.append(path)
    return sorted(found)


def is_below(path: str, folders: list[str]) -> bool:
    """Whether a path is one of these, or in one of these."""
    return any(f"{path}/".startswith(f"{folder}/") for folder in folders)


def is_local(url: str) -> bool:
    """Whether a repository is a folder of this host."""
    return url.startswith(("/", "file://"))


def transport(url: str) -> list[str]:
    """Return git's options for a repository: it refuses a local one of another account.

    Whoever wrote the settings trusts it.
    """
    if not is_local(url):
        return []
    path = shlex.quote(url.removeprefix("file://"))
    return [f"--upload-pack=git -c safe.directory={path} upload-pack"]


def is_named(name: str, pattern: str) -> bool:
    """Whether a ref is the one that a setting names, or one that it matches."""
    from fnmatch import fnmatchcase  # slow to load, and seldom needed

    return fnmatchcase(name, pattern) or name == f"refs/tags/{pattern}"


class Gate:
    """What a release must pass before it is published."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings."""
        self.settings = settings

    def terms(self) -> list:
        """Name what the outcome depends on, besides the release."""
        python = self.settings.gate_python
        # The interpreter of an environment is a link to the system's: its folder tells.
        where = str(Path(python).parent.resolve()) if python else ""
        return [where, self.settings.gate_exclude, self.settings.gate_command]

    def check(self, release: Path, paths: list[str] | None, output: Path) -> None:
        """Check these paths of a release, or all, and run the own command; raise BlockedError."""
        ends = time.monotonic() + self.settings.gate_timeout_seconds
        try:
            if self.settings.gate_python and paths != []:
                self.check_files(release, paths, ends)
            if self.settings.gate_command:
                self.run_command(release, output, ends)
        except subprocess.TimeoutExpired:
            seconds = self.settings.gate_timeout_seconds
            raise BlockedError(release.name, f"the gate did not end within {seconds} s") from None

    def check_files(self, release: Path, paths: list[str] | None, ends: float) -> None:
        """Have the nodes' interpreter compile and parse the files."""
        python = self.settings.gate_python
        if not os.access(python, os.X_OK):
            raise MisconfiguredError(
                f"'gate_python' {python} is no program on this host: deploy Airflow first, "
                "or set it to another interpreter with PyYAML, or to nothing"
            )
        exclude = json.dumps(self.settings.gate_exclude)
        which = "all" if paths is None else "listed"
        words = [python, "-I", "-B", __file__, CHECK_FILES, str(release), exclude, which]
        done = execute(
            words,
            environment=self.environment(release),
            seconds=ends - time.monotonic(),
            stdin="\0".join(paths or []),
        )
        if done.returncode == EXIT_UNUSABLE:
            raise MisconfiguredError(f"'gate_python' {python} has no PyYAML")
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise BlockedError(release.name, f"the checks ended with {done.returncode}: {last}")
        if problems := json.loads(done.stdout):
            raise BlockedError(release.name, named(problems, "; "))

    def run_command(self, release: Path, output: Path, ends: float) -> None:
        """Run the own command in the release."""
        command = self.settings.gate_command
        try:
            with output.open("w+b") as file, children_ended():
                done = execute(
                    command,
                    environment=self.environment(release),
                    seconds=ends - time.monotonic(),
                    cwd=release,
                    output=file.fileno(),
                )
                file.seek(max(0, file.tell() - 2000))
                told = without_userinfo(file.read().decode(errors="surrogateescape"))
        finally:
            output.unlink(missing_ok=True)
        if done.returncode:
            last = "; ".join(line.strip() for line in told.splitlines()[-NAMED:] if line.strip())
            what = f"{command[0]} ended with {done.returncode}"
            raise BlockedError(release.name, f"{what}: {last[-LONGEST_REASON:]}" if last else what)

    def environment(self, release: Path) -> dict[str, str]:
        """Give a check nothing of this program's own."""
        path = os.environ.get("PATH", os.defpath)
        if python := self.settings.gate_python:
            path = f"{Path(python).parent}{os.pathsep}{path}"
        return {
            "PATH": path,
            "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
            "LANG": "C.UTF-8",
            "RAX_RELEASE_DIR": str(release),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


@contextlib.contextmanager
def children_ended() -> Iterator[None]:
    """End, after all, also those processes that a command has started in sessions of their own."""
    import ctypes  # slow to load, and seldom needed

    # What loses its parent becomes a child of this process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        with contextlib.suppress(ChildProcessError):
            while True:
                for pid in children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os.waitpid(-1, 0)


def children() -> Iterator[int]:
    """List the processes that this one is the parent of."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before may hold anything, blanks and brackets too.
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)


# The part that gate_python runs: this file, called with CHECK_FILES.

CHECK_FILES = "--check-files"
EXIT_UNUSABLE = 77


def check_files(folder: str, exclude: str, which: str) -> int:
    """Print the problems of the files of a release, as a list in JSON."""
    from fnmatch import fnmatchcase

    root = Path(folder)
    paths: Iterable[str] = all_paths(root)
    if which == "listed":
        paths = names_in(sys.stdin.buffer.read().decode(errors="surrogateescape"))
    patterns = json.loads(exclude)
    problems = []
    for path in paths:
        if any(fnmatchcase(path, pattern) for pattern in patterns):
            continue
        problem = link_problem(root, path)
        if not problem and path.endswith(".py"):
            problem = python_problem(root / path)
        elif not problem and path.startswith("configs/") and path.endswith((".yaml", ".yml")):
            try:
                problem = config_problem(root / path)
            except ImportError:
                return EXIT_UNUSABLE
        if problem:
            problems.append(f"{path}{problem}")
    sys.stdout.write(json.dumps(problems))
    return 0


def all_paths(root: Path) -> Iterator[str]:
    """List the files and links of a release."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted(files + links):
            yield os.path.relpath(f"{folder}/{name}", root)


def link_problem(root: Path, path: str) -> str | None:
    """Say whether a link leads out of the release: what it shows there is no commit's."""
    if not (root / path).is_symlink():
        return None
    target = (root / path).readlink()
    leads_to = Path(os.path.realpath(root / path))
    if target.is_absolute() or not leads_to.is_relative_to(os.path.realpath(root)):
        return f" is a link that leads out of the repository, to {target}"
    return None


def python_problem(path: Path) -> str | None:
    """Compile a file."""
    import warnings

    try:
        with warnings.catch_warnings(action="ignore"):
            compile(path.read_bytes(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f":{error.lineno}: {error.msg}" if error.lineno else f": {error.msg}"
    except OSError as error:
        return f": {error.strerror}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f": {error}"
    return None


def config_problem(path: Path) -> str | None:
    """Parse a file with the loader of rax.config, which need not be here."""
    import yaml

    try:
        yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a SafeLoader
    except OSError as error:
        return f": {error.strerror}"
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{line}: {error.problem or error.context}"
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        return f": {error}"
    return None


class State:
    """What is remembered between runs; all of it may be lost but for the pin."""

    def __init__(self, file: Path) -> None:
        """Read it."""
        self.file = file
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            values = {}
        values = values if isinstance(values, dict) else {}
        # Whoever has that account may have written anything: what is malformed is as good as lost.
        self.values = {key: value for key, value in values.items() if is_remembered(key, value)}
        self.saved = dict(self.values)

    def __getitem__(self, key: str):
        """Return what is remembered, or None."""
        return self.values.get(key)

    def update(self, **changes: object) -> None:
        """Remember values, or with None forget them; `save` writes them."""
        values = self.values | changes
        self.values = {key: value for key, value in values.items() if value is not None}

    def release(self, sha: str) -> dict:
        """Return what is remembered of a release: tree, stamp, signed, gate."""
        return (self["releases"] or {}).get(sha, {})

    def update_release(self, sha: str, **changes: object) -> None:
        """Remember more of a release."""
        releases = self["releases"] or {}
        self.update(releases=releases | {sha: self.release(sha) | changes})

    def save(self) -> None:
        """Write it to the disk; without a difference nothing is written."""
        if self.values == self.saved:
            return
        new = temporary(self.file.parent)
        with new.open("w", encoding="utf-8") as file:
            json.dump(self.values, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.file)
        self.saved = dict(self.values)


def is_remembered(key: str, value: object) -> bool:
    """Whether a value of the state's file is of the form that `State.save` writes."""
    match key, value:
        case "seen" | "previous" | "pinned", sha:
            return is_sha(sha)
        case "code" | "failures" | "repairs", int(number):
            return 0 <= number < LATEST
        case "error", {"message": str(), "since": since, "said": said}:
            return is_time(since) and is_time(said)
        case "blocked", {"sha": sha, "reason": str(), "since": since, "terms": list()}:
            return is_sha(sha) and is_time(since)
        case "releases", dict(releases):
            return all(is_sha(sha) and is_known(known) for sha, known in releases.items())
    return False


def is_known(release: object) -> bool:
    """Whether this is what the state has of a release: tree, stamp, signed, gate."""
    match release:
        case {"tree": tree} if not is_sha(tree):
            return False
        case {"signed": signed} if not (isinstance(signed, list) and len(signed) == 2):
            return False
    return isinstance(release, dict)


def is_sha(value: object) -> bool:
    """Whether this is the full name of a commit or a tree."""
    return isinstance(value, str) and FULL_SHA.fullmatch(value) is not None


def is_time(value: object) -> bool:
    """Whether this is a time that can be written."""
    return isinstance(value, int | float) and 0 <= value < LATEST


class Node:
    """The releases of this host."""

    def __init__(self, settings: Settings, say: Callable[..., None]) -> None:
        """Name the paths."""
        self.settings = settings
        self.say = say
        self.link = Path(settings.link)
        self.root = self.link.with_name(f".{self.link.name}")
        self.releases = self.root / "releases"
        self.last_success = self.root / "last_success"
        self.repository = Repository(settings, self.root, say)
        self.gate = Gate(settings)
        self.refname: str | None = None  # what the server calls the ref
        self.state = State(self.root / "state.json")

    # What there is

    def has_release(self, sha: str) -> bool:
        """Whether a release is complete: it has its name only then."""
        return is_sha(sha) and (self.releases / sha).is_dir()

    def published(self) -> str | None:
        """Return the sha that readers get; None where the link leads to no whole release."""
        try:
            target = self.link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise MisconfiguredError(f"{self.link} is not a link: move it away") from None
        whole = is_sha(target.name) and target == self.target(target.name)
        return target.name if whole and self.link.is_dir() else None

    def target(self, sha: str) -> Path:
        """Return what the link holds: relative, so that the whole may be mounted elsewhere."""
        return Path(self.root.name, self.releases.name, sha)

    def by_age(self) -> list[Path]:
        """List the releases, the one used last first."""
        with contextlib.suppress(FileNotFoundError):
            releases = [path for path in self.releases.iterdir() if FULL_SHA.fullmatch(path.name)]
            return sorted(releases, key=lambda path: path.stat().st_mtime, reverse=True)
        return []

    def succeeded(self) -> float | None:
        """Return when the last sync succeeded."""
        try:
            return self.last_success.stat().st_mtime
        except FileNotFoundError:
            return None

    def status(self) -> dict:
        """Gather what a person or a monitor asks."""
        state, published, success = self.state, self.published(), self.succeeded()
        error, blocked = state["error"], state["blocked"]
        return {
            "published": published,
            "published_since": timestamp(self.link.lstat().st_mtime) if published else None,
            "seen": state["seen"],
            "previous": state["previous"],
            "pinned": state["pinned"],
            "blocked": blocked
            and {
                "sha": blocked["sha"],
                "reason": blocked["reason"],
                "since": timestamp(blocked["since"]),
            },
            "last_success": timestamp(success) if success else None,
            "age_seconds": max(0, round(time.time() - success)) if success else None,
            "error": error and error["message"],
            "error_since": error and timestamp(error["since"]),
            "failures": state["failures"] or 0,
            "repairs": state["repairs"] or 0,
            "releases": [release.name for release in self.by_age()],
        }

    def write_metrics(self) -> None:
        """Write the same for Prometheus' node_exporter, where a file is asked for."""
        if not self.settings.metrics_file:
            return
        published = self.published()
        values = {
            "last_success_timestamp_seconds": ("gauge", self.succeeded()),
            "published_timestamp_seconds": (
                "gauge",
                self.link.lstat().st_mtime if published else None,
            ),
            "last_exit_code": ("gauge", self.state["code"] or 0),
            "blocked": ("gauge", int(self.state["blocked"] is not None)),
            "pinned": ("gauge", int(self.state["pinned"] is not None)),
            "failures_total": ("counter", self.state["failures"] or 0),
            "repairs_total": ("counter", self.state["repairs"] or 0),
        }
        lines = []
        for name, (kind, value) in values.items():
            if value is not None:
                name = f"airflow_dag_sync_{name}"
                lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        labels = {"published": published, "seen": self.state["seen"], "ref": self.settings.ref}
        quoted = {
            key: one_line(value or "").replace("\\", "\\\\").replace('"', '\\"')
            for key, value in labels.items()
        }
        text = ",".join(f'{key}="{value}"' for key, value in quoted.items())
        lines += ["# TYPE airflow_dag_sync_info gauge", f"airflow_dag_sync_info{{{text}}} 1"]
        file = Path(self.settings.metrics_file)
        new = file.with_name(f"{file.name}.tmp")
        new.write_text("\n".join(lines) + "\n", encoding="utf-8")
        new.chmod(0o644)
        new.replace(file)

    # What is done

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[None]:
        """Be the only one who publishes; nothing temporary is left of this run or a killed one."""
        self.releases.mkdir(parents=True, exist_ok=True)
        with locked(self.root / "lock", self.repository.git.deadline if wait else 0):
            self.state = State(self.state.file)
            try:
                yield
            finally:
                self.clear()

    def sync(self, *, insist: bool) -> None:
        """Publish what the ref points to; `insist` also when it has been blocked before."""
        with self.locked(wait=False):
            try:
                self.publish_newest(insist=insist)
            except BusyError:
                raise
            except (OSError, SyncError) as error:
                problem = as_sync_error(error)
                with contextlib.suppress(OSError):
                    problem.said_lately = self.note(problem)
                    self.write_metrics()
                raise problem from error

    def publish_newest(self, *, insist: bool) -> None:
        """Ask, and publish when it is not what readers get."""
        self.settings.require_files()
        published = self.published()
        # The server takes its time: meanwhile the release is looked at.
        looking = Looking(self.releases / published) if published else None
        try:
            seen, self.refname = self.repository.resolve()
        finally:
            damage = self.look_after_published(looking) if looking else None
        self.state.update(seen=seen)
        pinned = self.state["pinned"]
        sha = pinned or seen
        if self.published() == sha:
            if damage:
                raise damage
            # The signers may have been set later.
            self.require_signature(sha)
            self.say(f"unchanged {sha} ({self.name()})", syslog.LOG_DEBUG)
        else:
            if not insist:
                self.refuse_blocked(sha)
            if not self.has_release(sha):
                sha, _ = self.bring(sha, None if pinned else self.refname)
                self.state.update(seen=seen if pinned else sha)
            self.publish(sha)
            self.prune()
        error = self.state["error"]
        self.state.update(error=None, code=None, blocked=self.state["blocked"] if pinned else None)
        self.state.save()
        self.last_success.touch()
        self.write_metrics()
        if error:
            self.say(f"works again, after failing since {timestamp(error['since'])}")

    def fetch(self, sha: str) -> None:
        """Bring a release without publishing it."""
        try:
            # Its age counts from now: whoever asks has not locked it yet.
            os.utime(self.releases / sha)
            self.say(f"present {sha}")
            return
        except FileNotFoundError:
            pass
        self.settings.require_files()
        self.releases.mkdir(parents=True, exist_ok=True)
        # Beside a sync, whose state it leaves alone: that looks at what it does not know.
        _, made = self.bring(sha)
        self.say(f"fetched {sha}" if made else f"present {sha}")

    def rollback(self, sha: str | None) -> None:
        """Publish an earlier release that is still here, and stay on it."""
        with self.locked(wait=True):
            pinned = self.state["pinned"]
            if not sha and pinned:
                raise MisconfiguredError(f"already pinned to {pinned}: name the release")
            sha = sha or self.state["previous"]
            if not sha or not self.has_release(sha):
                here = ", ".join(path.name for path in self.by_age()) or "none"
                raise MisconfiguredError(
                    f"there is no release {sha or 'before the published one'} here, only: {here}"
                )
            # The pin is saved before the flip: a run that is killed in between is completed by
            # the next sync.
            self.state.update(pinned=sha)
            self.publish(sha)
            self.write_metrics()

    def unpin(self) -> None:
        """Follow the ref again, from the next sync on."""
        with self.locked(wait=True):
            pinned = self.state["pinned"]
            self.state.update(pinned=None)
            self.state.save()
            self.write_metrics()
            self.say(f"unpinned {pinned}" if pinned else "unchanged: nothing was pinned")

    # How

    def name(self) -> str:
        """Say why this release."""
        pinned = self.state["pinned"]
        return "pinned until `airflow-dag-sync unpin`" if pinned else self.settings.ref

    def bring(self, sha: str, refname: str | None = None) -> tuple[str, bool]:
        """Make the release of a commit, or of what the ref has become meanwhile.

        Return its sha, and whether no other run has made it meanwhile.
        """

        def make(at: Path) -> tuple[str, bool]:
            if not refname and self.has_release(sha):
                return sha, False
            commit = self.repository.obtain(at, sha, refname)
            signed = [self.signers(), None]
            if self.settings.signed:
                signed[1] = self.repository.require_signature(at, commit, refname)
            tree = self.repository.tree(at, commit)
            self.repository.require_no_lfs(at, commit, tree)
            self.repository.keep(at, commit, tree)
            if not self.has_release(commit):
                self.repository.check_out(at, tree, self.releases / commit)
            known = {"tree": tree, "signed": signed, "gate": None}
            self.state.update_release(commit, stamp=stamp(self.releases / commit), **known)
            return commit, True

        return self.repository.through(make)

    def publish(self, sha: str) -> None:
        """Flip the link to a release that may be published."""
        self.look_after(sha)
        self.require_signature(sha)
        self.require_gate(sha)
        self.flip(sha)
        self.say(f"published {sha} ({self.name()})")

    def look_after_published(self, looking: Looking) -> SyncError | None:
        """Make good what was changed in the published release; return why that was impossible.

        Then a newer commit is published nevertheless.
        """
        release = looking.release
        try:
            self.look_after(release.name, now=looking.end())
        except BusyError:
            raise
        except (OSError, SyncError) as error:
            why = as_sync_error(error)
            return SyncError(f"{release} was changed and cannot be repaired: {why}")
        return None

    def look_after(self, sha: str, *, now: str | None = None, tell: bool = True) -> None:
        """Make good what somebody has changed in a release, whose stamp is this now."""
        release = self.releases / sha
        known = self.state.release(sha)
        if known.get("stamp") == (now or stamp(release)):
            return

        def restore(at: Path) -> str:
            tree = known.get("tree")
            if not tree or not self.repository.has(at, tree, "tree"):
                self.repository.obtain(at, sha)
                tree = self.repository.tree(at, sha)
                self.repository.keep(at, sha, tree)
                self.state.update_release(sha, tree=tree)
            return self.repository.restore(at, tree, release)

        found = self.repository.through(restore)
        self.state.update_release(sha, stamp=stamp(release))
        if found and tell:
            self.state.update(repairs=(self.state["repairs"] or 0) + 1)
            self.say(f"repaired {sha}: {found}", syslog.LOG_WARNING)

    def signers(self) -> int | None:
        """Return a mark of the allowed signers."""
        files = (self.settings.allowed_signers, self.settings.openpgp_keys)
        texts = [Path(file).read_bytes() if file else b"" for file in files]
        return zlib.crc32(b"\0".join(texts)) if self.settings.signed else None

    def require_signature(self, sha: str) -> None:
        """Refuse a release that came here under other terms and is signed by nobody allowed."""
        if not self.settings.signed:
            return
        signers = self.signers()
        before, tag = self.state.release(sha).get("signed") or (None, None)
        # What a tag alone vouches for is published under that tag alone, or by a person.
        if before == signers and (not tag or tag == self.refname or self.state["pinned"] == sha):
            return

        def verify(at: Path) -> str | None:
            self.repository.obtain(at, sha)
            return self.repository.require_signature(at, sha, self.refname)

        self.state.update_release(sha, signed=[signers, self.repository.through(verify)])

    def require_gate(self, sha: str) -> None:
        """Refuse a release that does not pass the gate."""
        terms = self.gate.terms()
        passed = self.state.release(sha).get("gate")
        # What passed once and is pinned by a person passes.
        if passed == terms or (passed and self.state["pinned"] == sha):
            return
        began = time.monotonic()
        release = self.releases / sha
        try:
            self.gate.check(release, self.to_check(sha, terms), temporary(self.root))
        except BlockedError:
            if sha != self.published():
                self.remove_release(release)
            raise
        finally:
            self.repository.git.deadline += time.monotonic() - began
        self.state.update_release(sha, gate=terms)
        if self.settings.gate_command:
            # It runs in the release, and may have left something there.
            self.look_after(sha, tell=False)

    def to_check(self, sha: str, terms: list) -> list[str] | None:
        """List the paths that the published release, which has passed, does not have; None: all."""
        published = self.state.release(self.published() or "")
        tree = self.state.release(sha).get("tree")
        if published.get("gate") != terms or not tree:
            return None
        try:
            at = self.repository.path
            return self.repository.paths_to_check(at, published["tree"], tree)
        except GitError:
            return None

    def refuse_blocked(self, sha: str) -> None:
        """Say again why a commit is blocked, as long as nothing that matters has changed."""
        blocked = self.state["blocked"]
        if blocked and blocked["sha"] == sha and blocked["terms"] == self.terms():
            raise BlockedError(sha, blocked["reason"])

    def terms(self) -> list:
        """Name all that decides whether a commit is published."""
        # Another tag of the same commit may be signed.
        return [self.refname, self.signers(), self.settings.submodules, *self.gate.terms()]

    def flip(self, sha: str) -> None:
        """Point the link at a release."""
        previous, now = self.published(), time.time()
        if previous and previous != sha:
            self.state.update(previous=previous)
            # The system's own "now" may be the same for both.
            os.utime(self.releases / previous, (now - 0.001, now - 0.001))
        os.utime(self.releases / sha, (now, now))
        self.state.save()
        link = temporary(self.link.parent, self.root.name)
        link.symlink_to(self.target(sha))
        link.replace(self.link)
        synchronise(self.link.parent)

    def prune(self) -> None:
        """Remove releases beyond the count, older than the retention, and held by no reader."""
        published = self.published()
        others = [release for release in self.by_age() if release.name != published]
        for release in others[self.settings.keep_releases - 1 :]:
            days = (time.time() - release.stat().st_mtime) / 86400
            if days < 0:
                os.utime(release)  # The clock has jumped back: else it would stay for ever.
            elif days > self.settings.keep_days and self.remove_release(release):
                self.say(f"removed {release.name}, last used {round(days)} days ago")
        known = self.state["releases"] or {}
        here = {sha: value for sha, value in known.items() if self.has_release(sha)}
        self.state.update(releases=here)
        # What is published is published, with or without a tidy repository.
        with contextlib.suppress(GitError, OutOfTimeError, BusyError):
            self.repository.let_go(known.keys() - here.keys())

    def remove_release(self, release: Path) -> bool:
        """Remove a release unless a reader holds it."""
        descriptor = os.open(release, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            release.replace(temporary(self.releases))
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def note(self, problem: SyncError) -> bool:
        """Remember why a sync failed; return whether that was said within the last hour."""
        now, message = time.time(), problem.told.removeprefix("failed: ")
        error = self.state["error"]
        said_lately = (
            error is not None
            and without_numbers(error["message"]) == without_numbers(message)
            and 0 <= now - error["said"] < SAY_AGAIN_SECONDS
        )
        if not said_lately:
            since = error["since"] if error else now
            error = {"message": message, "since": since, "said": now}
        if isinstance(problem, BlockedError):
            before = self.state["blocked"] or {}
            since = before["since"] if before.get("sha") == problem.sha else now
            blocked = {"sha": problem.sha, "reason": str(problem), "since": since}
            self.state.update(blocked=blocked | {"terms": self.terms()})
        failures = (self.state["failures"] or 0) + 1
        self.state.update(error=error, code=problem.code, failures=failures)
        self.state.save()
        return said_lately

    def clear(self) -> None:
        """Remove everything temporary; what resists is left to the next run."""
        with contextlib.suppress(BusyError), locked(self.root / "repository.lock", 0):
            self.clear_all()

    def clear_all(self) -> None:
        """Remove everything temporary of this run and of killed ones."""
        # git's own are what it had of a pack when it was killed or the disk was full.
        found = list(self.repository.path.glob("objects/*/tmp_*"))
        places = ((self.root, ""), (self.releases, ""), (self.link.parent, self.root.name))
        for directory, prefix in places:
            for path in directory.iterdir():
                name = path.name
                if name.startswith(prefix) and TEMPORARY.fullmatch(name[len(prefix) :]):
                    found.append(path)
        for path in found:
            with contextlib.suppress(OSError):
                remove(path)


@contextlib.contextmanager
def locked(file: Path, deadline: float) -> Iterator[None]:
    """Hold a lock, which goes with this process; wait for it until the deadline."""
    with file.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BusyError("another run is at work") from None
                time.sleep(0.1)
        yield


def temporary(directory: Path, prefix: str = "") -> Path:
    """Make up a name that `Node.clear` removes."""
    return directory / f"{prefix}.{os.urandom(8).hex()}.tmp"


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        import shutil  # slow to load, and seldom needed

        shutil.rmtree(path)
    else:
        path.unlink()


def synchronise(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Looking:
    """A stamp that is taken while this program waits for something else."""

    def __init__(self, release: Path) -> None:
        """Begin."""
        self.release = release
        self.stamp: str | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Take it."""
        self.stamp = stamp(self.release)

    def end(self) -> str | None:
        """Wait for it and return it."""
        self.thread.join()
        return self.stamp


def stamp(release: Path) -> str | None:
    """Return a mark that differs once anything in a release has been changed; None: unreadable.

    It takes no content: a file cannot be changed without a new ctime, which nobody can set.
    """
    count, folders = 0, [str(release)]
    try:
        # Of the release itself not the times: whoever uses it sets one.
        itself = release.stat()
        mark = zlib.crc32(repr((itself.st_mode, itself.st_uid, itself.st_gid)).encode())
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    stat = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    facts = (entry.name, stat.st_mode, stat.st_size, stat.st_ino, stat.st_ctime_ns)
                    mark = zlib.crc32(repr(facts).encode(errors="surrogateescape"), mark)
                    count += 1
    except OSError:
        return None
    return f"{count} {mark:08x}"


def restore_modes(release: Path) -> list[str]:
    """Give files and folders the modes with which they were made; return those that had others."""
    mask = os.umask(0)
    os.umask(mask)
    found = []
    for folder, _, files in os.walk(release):
        # A folder comes before its content, which may be unreadable until then.
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            if path.is_symlink():
                continue
            mode = path.lstat().st_mode & 0o7777
            wanted = (0o777 if path.is_dir() or mode & 0o100 else 0o666) & ~mask
            if mode != wanted:
                path.chmod(wanted)
                found.append(str(path.relative_to(release)))
    return found


def named(names: Iterable[str], separator: str = ", ") -> str:
    """Name the first few of many."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more


def timestamp(seconds: float) -> str:
    """Write a time for people and machines."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def without_numbers(message: str) -> str:
    """Make messages comparable that differ in a duration or a port."""
    return re.sub(r"\d+", "0", message)


def as_sync_error(error: OSError | SyncError) -> SyncError:
    """Put an error of the system into words."""
    if isinstance(error, SyncError):
        return error
    return SyncError(": ".join(str(part) for part in (error.filename, error.strerror) if part))


def offset(hostname: str, splay: int) -> float:
    """Return a host's own delay in seconds: always the same, and spread over the hosts."""
    return zlib.crc32(hostname.encode()) / 2**32 * splay


def run_as(user: str, *, only_reads: bool) -> None:
    """Leave root for the account that owns the releases."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise MisconfiguredError(f"'user' {user}: this host has no such account") from None
    if os.geteuid() == 0 and account.pw_uid != 0:
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    elif os.geteuid() != account.pw_uid and not only_reads:
        raise MisconfiguredError(f"run this as {user} or root")


def printable(text: str, *, lines: bool = False) -> str:
    """Show what steers a terminal or misleads a reader as an escape, as rax._printable does."""
    if text.isprintable() and not HIDDEN.search(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(char if char in kept else shown(char) for char in text)


def one_line(text: str, length: int | None = None) -> str:
    """Make one printable line, of so many characters: names of files may hold any bytes."""
    words = printable(" ".join(text.split()))
    if length is None or len(words) <= length:
        return words
    return HALF.sub("", words[: length - 1]) + "…"


def shown(char: str) -> str:
    """Return a character, or its escape."""
    if char.isprintable() and not HIDDEN.match(char):
        return char
    return char.encode("unicode_escape").decode()


def line(message: str) -> str:
    """Make one printable line, in which a byte of a name that is no UTF-8 is a �."""
    return one_line(re.sub("[\ud800-\udfff]", "\ufffd", message), LONGEST_LINE)


def say_to_terminal(message: str, priority: int = syslog.LOG_INFO) -> None:
    """Say one line to whoever runs this."""
    stream = sys.stderr if priority < syslog.LOG_NOTICE else sys.stdout
    stream.write(line(message) + "\n")
    stream.flush()


def say_to_syslog(message: str, priority: int = syslog.LOG_INFO) -> None:
    """Say one line to the journal; a run that finds nothing new says nothing."""
    if priority < syslog.LOG_DEBUG:
        syslog.syslog(priority, line(message))


def sha_argument(text: str) -> str:
    """Accept a full sha only."""
    if not FULL_SHA.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the 40 characters of a commit")
    return text


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="airflow-dag-sync",
        description="Publish the DAG repository on this host. Without a command: sync now.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="default: %(default)s")
    parser.add_argument(
        "--splay",
        action="store_true",
        help="for cron: first wait this host's share of the splay time; write to syslog",
    )
    commands = parser.add_subparsers(dest="command", metavar="command", prog="airflow-dag-sync")
    commands.add_parser("status", help="print what is published, seen and wrong, as JSON")
    command = commands.add_parser("fetch", help="bring a release without publishing it")
    command.add_argument("sha", type=sha_argument)
    command = commands.add_parser("rollback", help="publish an earlier release and stay on it")
    command.add_argument("sha", type=sha_argument, nargs="?", help="default: the previous one")
    commands.add_parser("unpin", help="follow the ref again")
    return parser.parse_args()


def run(arguments: argparse.Namespace, say: Callable[..., None]) -> None:
    """Do what is asked."""
    settings = Settings.load(arguments.settings)
    if arguments.splay:
        time.sleep(offset(os.uname().nodename, settings.splay_seconds))
    run_as(settings.user, only_reads=arguments.command == "status")
    os.umask(0o027)
    node = Node(settings, say)
    match arguments.command:
        case "status":
            sys.stdout.write(json.dumps(node.status(), indent=2) + "\n")
        case "fetch":
            node.fetch(arguments.sha)
        case "rollback":
            node.rollback(arguments.sha)
        case "unpin":
            node.unpin()
        case _:
            try:
                node.sync(insist=not arguments.splay)
            except BusyError as busy:
                say(f"busy: {busy}", syslog.LOG_DEBUG)


def main() -> int:
    """Run, and turn problems into a line and an exit code."""
    if sys.argv[1:2] == [CHECK_FILES]:
        return check_files(*sys.argv[2:])
    arguments = parse_arguments()
    say = say_to_syslog if arguments.splay else say_to_terminal
    syslog.openlog("airflow-dag-sync", syslog.LOG_PID, syslog.LOG_DAEMON)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(arguments, say)
    except (OSError, SyncError) as error:
        problem = as_sync_error(error)
        if not (arguments.splay and problem.said_lately):
            say(problem.told, syslog.LOG_ERR)
        return problem.code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
