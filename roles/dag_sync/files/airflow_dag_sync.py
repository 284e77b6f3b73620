#!/usr/bin/python3 -IS
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a git repository: every commit a tree of its own, and one link flipped between them.

    LINK -> .LINK/releases/<sha>       what readers follow, once, and then stay on
    .LINK/releases/<sha>/              a plain tree; under this name it is complete
    .LINK/repository.git/              git's own, made anew when damaged
    .LINK/{lock,state.json,last_success}

Nothing that is published is ever written to, so whatever fails leaves the last good tree. Each
step works on a temporary name (`.<random>.tmp`, cleared by the next run) and ends in a rename, so
a run may be killed anywhere.

A reader that must not lose its release holds a shared flock on the release's directory:

    fd = os.open(path := os.path.realpath(LINK), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    os.path.samestat(os.fstat(fd), os.stat(path))    # False or FileNotFoundError: begin again
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import syslog
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

SETTINGS = Path("/etc/airflow/dag_sync.json")
EXIT_CODES = """\
exit codes:
  0  done, nothing to do, or another run is at work
  1  failed on this host (the message says where)
  2  misconfigured: an argument, a setting, or a ref or commit that the repository lacks
  3  the repository cannot be reached or read, or the time-out is over
"""
SAY_AGAIN_SECONDS = 3600

FULL_SHA = re.compile(r"[0-9a-f]{40}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
# The role's preflight has the same three (vars/main.yml).
URL_WITH_PASSWORD = re.compile(r"https?://[^/]*@|\w+://[^/@]*:[^/]*@|[^/@]+:[^/@]+@")
URL = re.compile(
    r"/[^\x00-\x1f]+|file:///[^\s]+|https://(?!-)[^\s/@:]+(:[0-9]+)?/[^\s]+"
    r"|ssh://((?!-)[^\s/@:]+@)?(?!-)([^\s/@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/[^\s]+"
    r"|((?!-)[^\s/@:]+@)?(?!-)[^\s/@:]+:(?!:|//)[^\s@]+"
)
REF = re.compile(
    r"(?![-/.])(?!.*(\.\.|//|/\.|@\{|\.lock(/|$)))(?!@$)[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])"
)
# For messages. Rather more than needed, but not the plain user of an ssh URL.
USERINFO = re.compile(r"(?<=://)(?!(?<=ssh://)[^\s/@:]+@)\S*@|[^\s/@:'\"]+:[^\s/@]+@")
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
# What git says after every failure of a transport.
BOILERPLATE = re.compile(
    r"@|fatal: Could not read from remote|Please make sure you have|and the repository exists"
)


class SyncError(Exception):
    """What ends a run; its message is for a person and names nothing secret."""

    code = 1
    said_lately = False

    def __init__(self, message: str) -> None:
        """Mask what may be a password or token in a URL."""
        super().__init__(USERINFO.sub("***@", message))


class MisconfiguredError(SyncError):
    """An argument, a setting or a ref is wrong."""

    code = 2


class UnreachableError(SyncError):
    """The repository does not answer, or does not give what it promised."""

    code = 3


class OutOfTimeError(SyncError):
    """The time of the whole run is over."""

    code = 3


class BusyError(SyncError):
    """Another run is at work."""


class GitError(SyncError):
    """A git command ended with an error."""


@dataclass(frozen=True)
class Settings:
    """What the settings file holds."""

    repository: str
    ref: str
    user: str
    link: str
    private_key: str
    known_hosts: str
    splay_seconds: int
    timeout_seconds: int
    keep_releases: int
    keep_days: int

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
        types = {field.name: int if field.type == "int" else str for field in fields(cls)}
        if unknown := sorted(values.keys() - types.keys()):
            raise MisconfiguredError(f"{path}: unknown key {unknown[0]!r}")
        if missing := sorted(types.keys() - values.keys()):
            raise MisconfiguredError(f"{path}: no key {missing[0]!r}")
        for key, kind in types.items():
            if type(values[key]) is not kind:
                name = {str: "a string", int: "a whole number"}[kind]
                raise MisconfiguredError(f"{path}: {key!r} is not {name}")
        settings = cls(**values)
        if problem := next(settings.problems(), None):
            raise MisconfiguredError(f"{path}: {problem}")
        return settings

    def problems(self) -> Iterator[str]:
        """Say what no run could work with."""
        if URL_WITH_PASSWORD.match(self.repository):
            yield (
                f"'repository' {self.repository} has a user name, password or token in it: "
                "use ssh with a deploy key"
            )
        if not URL.fullmatch(self.repository):
            yield (
                f"'repository' {self.repository} is none of ssh://user@host/path, "
                "user@host:path, https://host/path, file:///path, /path"
            )
        if self.over_ssh and not (self.known_hosts and self.private_key):
            yield "a repository over ssh needs 'known_hosts' and 'private_key'"
        if not REF.fullmatch(self.ref):
            yield f"'ref' {self.ref!r} is not the name of a branch or tag, nor a commit"
        if not Path(self.link).is_absolute():
            yield f"'link' {self.link} is not an absolute path"
        for key, least in (
            ("splay_seconds", 0),
            ("timeout_seconds", 1),
            ("keep_releases", 1),
            ("keep_days", 0),
        ):
            if getattr(self, key) < least:
                yield f"{key!r} is less than {least}"

    @property
    def over_ssh(self) -> bool:
        """Whether git runs ssh for this repository."""
        return not self.repository.startswith(("/", "file://", "https://"))


class Git:
    """Runs git with nothing of the account's or the system's configuration, in limited time."""

    # A fetch is kept as one pack: no object can stay behind without those that it refers to.
    CONFIGURATION = (
        "core.hooksPath=/dev/null",
        "fetch.unpackLimit=1",
        "maintenance.auto=false",
        "gc.autoDetach=false",
    )

    def __init__(self, settings: Settings) -> None:
        """Start the clock of the whole run."""
        self.url = settings.repository
        self.timeout = settings.timeout_seconds
        self.deadline = time.monotonic() + self.timeout
        # git refuses a local repository of another account; whoever wrote the settings trusts it.
        self.transport = []
        if self.url.startswith(("/", "file://")):
            path = shlex.quote(self.url.removeprefix("file://"))
            self.transport = [f"--upload-pack=git -c safe.directory={path} upload-pack"]
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
        if settings.over_ssh:
            self.environment["GIT_SSH_VARIANT"] = "ssh"
            self.environment["GIT_SSH_COMMAND"] = shlex.join(ssh_command(settings))

    def __call__(self, command: str, *arguments: str, **environment: Path) -> str:
        """Run one git command and return what it prints."""
        options = [word for setting in self.CONFIGURATION for word in ("-c", setting)]
        return self.run("git", *options, command, *arguments, name=f"git {command}", **environment)

    def run(self, *command: str, name: str, **environment: Path) -> str:
        """Run a command that ends with this program, however this program ends."""
        process = subprocess.Popen(  # noqa: S603 - no shell, and a checked URL and ref
            # kill -9 of this program leaves it no time to end its child: the kernel does.
            ["setpriv", "--pdeathsig", "KILL", *command],  # noqa: S607 - cron sets PATH
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment | {key: str(value) for key, value in environment.items()},
            cwd="/",
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        )
        try:
            output, errors = process.communicate(timeout=max(0, self.deadline - time.monotonic()))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise OutOfTimeError(f"{name} did not end within {self.timeout} s") from None
            raise
        if process.returncode:
            raise GitError(reason(errors) or f"{name} ended with {process.returncode}")
        return output.strip()


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


def reason(errors: str) -> str:
    """Pick from git's and ssh's messages the lines that say why, as one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if not BOILERPLATE.match(line)] or lines
    return "; ".join(telling[-2:])[:400]


class Node:
    """The releases of this host."""

    def __init__(self, settings: Settings, say: Callable[..., None]) -> None:
        """Name the paths; nothing is read yet."""
        self.settings = settings
        self.say = say
        self.git = Git(settings)
        self.link = Path(settings.link)
        self.root = self.link.with_name(f".{self.link.name}")
        self.releases = self.root / "releases"
        self.repository = self.root / "repository.git"
        self.state_file = self.root / "state.json"
        self.last_success = self.root / "last_success"

    # What there is

    def state(self) -> dict:
        """Read what is remembered (seen, previous, pinned, error); all of it may be lost."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def has_release(self, sha: str) -> bool:
        """Whether a release is complete: it has its name only then."""
        return (self.releases / sha).is_dir()

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
        return target.name if target == self.target(target.name) and self.link.is_dir() else None

    def target(self, sha: str) -> Path:
        """Return what the link holds: relative, so that the whole may be mounted elsewhere."""
        return Path(self.root.name, self.releases.name, sha)

    def by_age(self) -> list[Path]:
        """List the releases, the one published last first."""
        releases = [path for path in self.releases.iterdir() if FULL_SHA.fullmatch(path.name)]
        return sorted(releases, key=lambda path: path.stat().st_mtime, reverse=True)

    def status(self) -> dict:
        """Gather what a person or a monitor asks."""
        state = self.state()
        error = state.get("error")
        try:
            success = self.last_success.stat().st_mtime
        except FileNotFoundError:
            success = None
        return {
            "published": self.published(),
            "seen": state.get("seen"),
            "pinned": state.get("pinned"),
            "last_success": timestamp(success) if success else None,
            "age_seconds": max(0, round(time.time() - success)) if success else None,
            "error": error["message"] if error else None,
            "error_since": timestamp(error["since"]) if error else None,
        }

    # What is done

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[None]:
        """Be the only one who writes; nothing temporary is left of this run or a killed one."""
        self.releases.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not wait or time.monotonic() > self.git.deadline:
                        raise BusyError("another run is at work") from None
                    time.sleep(0.1)
            try:
                yield
            finally:
                self.clear()

    def sync(self) -> None:
        """Publish what the ref points to."""
        with self.locked(wait=False):
            try:
                self.publish_newest()
            except (OSError, SyncError) as error:
                problem = as_sync_error(error)
                with contextlib.suppress(OSError):
                    problem.said_lately = self.note(problem)
                raise problem from error

    def publish_newest(self) -> None:
        """Ask, and publish when it is not what readers get."""
        state = self.state()
        seen, refname = self.resolve()
        pinned = state.get("pinned")
        sha = pinned or seen
        if self.published() == sha:
            self.say(f"unchanged {sha} ({self.name(pinned)})", syslog.LOG_DEBUG)
        else:
            if not self.has_release(sha):
                sha = self.bring(sha, None if pinned else refname)
                seen = seen if pinned else sha
            self.flip(sha)
            self.say(f"published {sha} ({self.name(pinned)})")
            self.prune()
        self.remember(seen=seen, error=None)
        self.last_success.touch()
        if error := state.get("error"):
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
        with self.locked(wait=True):
            if not self.has_release(sha):
                self.bring(sha)
        self.say(f"fetched {sha}")

    def rollback(self, sha: str | None) -> None:
        """Publish an earlier release that is still here, and stay on it."""
        with self.locked(wait=True):
            state = self.state()
            if not sha and state.get("pinned"):
                raise MisconfiguredError(f"already pinned to {state['pinned']}: name the release")
            sha = sha or state.get("previous")
            if not sha or not self.has_release(sha):
                here = ", ".join(path.name for path in self.by_age()) or "none"
                raise MisconfiguredError(
                    f"there is no release {sha or 'before the published one'} here, only: {here}"
                )
            # The pin first: when this run is killed in between, the next sync completes it.
            self.remember(pinned=sha)
            self.flip(sha)
            self.say(f"published {sha} ({self.name(sha)})")

    def unpin(self) -> None:
        """Follow the ref again, from the next sync on."""
        with self.locked(wait=True):
            pinned = self.state().get("pinned")
            self.remember(pinned=None)
            self.say(f"unpinned {pinned}" if pinned else "unchanged: nothing was pinned")

    # How

    def name(self, pinned: str | None) -> str:
        """Say why this release."""
        return "pinned until `airflow-dag-sync unpin`" if pinned else self.settings.ref

    def resolve(self) -> tuple[str, str | None]:
        """Ask the repository, once, which commit the ref is, and for the ref's full name."""
        ref = self.settings.ref
        if FULL_SHA.fullmatch(ref):
            return ref, None
        if ref == "HEAD" or ref.startswith("refs/"):
            names = [ref]
        else:
            # As `git switch` does: a branch before a tag of the same name.
            names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        patterns = [pattern for name in names for pattern in (name, f"{name}^{{}}")]
        try:
            output = self.git("ls-remote", *self.git.transport, "--", self.git.url, *patterns)
        except GitError as error:
            raise UnreachableError(f"{self.git.url} cannot be read: {error}") from None
        found = {name: sha for sha, name in (line.split("\t") for line in output.splitlines())}
        for name in names:
            # An annotated tag is an object of its own; its commit has the name with ^{}.
            if sha := found.get(f"{name}^{{}}", found.get(name)):
                return sha, name
        hint = "; a commit takes all its 40 characters" if SHORT_SHA.fullmatch(ref) else ""
        raise MisconfiguredError(f"{self.git.url} has no branch or tag {ref}{hint}")

    def bring(self, sha: str, refname: str | None = None) -> str:
        """Make the release of a commit, or of what the ref has become meanwhile."""
        damage = None
        if self.repository.exists():
            try:
                return self.bring_through(self.repository, sha, refname)
            except (GitError, UnreachableError) as error:
                damage = error
        # A lock left by a killed git, lost objects, another format: rather than to tell them
        # apart, see whether a new repository serves. The old one stays until it does.
        fresh = self.temporary(self.root)
        self.git("init", "--quiet", "--bare", "--template=", str(fresh))
        sha = self.bring_through(fresh, sha, refname)
        if damage:
            self.say(f"{self.repository} was damaged, made anew: {damage}", syslog.LOG_WARNING)
            self.repository.replace(self.temporary(self.root))
        fresh.replace(self.repository)
        return sha

    def bring_through(self, repository: Path, sha: str, refname: str | None) -> str:
        """Fetch into one repository and check out from it."""
        if refname:
            self.fetch_into(repository, f"+{refname}:refs/sync/tip")
            commit = "refs/sync/tip^{commit}"
            sha = self.git("rev-parse", "--verify", commit, GIT_DIR=repository)
        elif not self.has_commit(repository, sha):
            # Not every server gives a commit by its sha; then the history that has it.
            with contextlib.suppress(UnreachableError):
                self.fetch_into(repository, f"+{sha}:refs/sync/asked")
            if not self.has_commit(repository, sha):
                everything = ("+refs/heads/*:refs/sync/heads/*", "+refs/tags/*:refs/sync/tags/*")
                self.fetch_into(repository, *everything)
            if not self.has_commit(repository, sha):
                raise MisconfiguredError(f"{self.git.url} has no commit {sha}")
        if not self.has_release(sha):
            self.check_out(repository, sha)
        return sha

    def has_commit(self, repository: Path, sha: str) -> bool:
        """Whether a commit needs no network."""
        try:
            self.git("cat-file", "-e", f"{sha}^{{commit}}", GIT_DIR=repository)
        except GitError:
            return False
        return True

    def fetch_into(self, repository: Path, *refspecs: str) -> None:
        """Fetch exactly these."""
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        arguments = (*options, *self.git.transport, "--", self.git.url, *refspecs)
        try:
            self.git("fetch", *arguments, GIT_DIR=repository)
        except GitError as error:
            raise UnreachableError(f"{self.git.url} cannot be fetched: {error}") from None

    def check_out(self, repository: Path, sha: str) -> None:
        """Write the whole tree of a commit aside, bring it to the disk, and give it its name."""
        tree, index = self.temporary(self.releases), self.temporary(self.releases)
        tree.mkdir()
        where = {"GIT_DIR": repository, "GIT_WORK_TREE": tree, "GIT_INDEX_FILE": index}
        self.git("read-tree", "-m", "-u", sha, **where)
        self.git.run("sync", "--file-system", str(tree), name="sync")
        tree.replace(self.releases / sha)
        synchronise(self.releases)

    def flip(self, sha: str) -> None:
        """Point the link at a release."""
        previous = self.published()
        if previous and previous != sha:
            self.remember(previous=previous)
            # Retention counts from when a release was published last.
            os.utime(self.releases / previous)
        os.utime(self.releases / sha)
        link = self.temporary(self.link.parent, self.root.name)
        link.symlink_to(self.target(sha))
        link.replace(self.link)
        synchronise(self.link.parent)

    def prune(self) -> None:
        """Remove releases beyond the count, older than the retention, and held by no reader."""
        published = self.published()
        others = [release for release in self.by_age() if release.name != published]
        for release in others[self.settings.keep_releases - 1 :]:
            days = (time.time() - release.stat().st_mtime) / 86400
            if days <= self.settings.keep_days:
                continue
            descriptor = os.open(release, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                release.replace(self.temporary(self.releases))
                self.say(f"removed {release.name}, published last {round(days)} days ago")
            except BlockingIOError:
                pass  # held
            finally:
                os.close(descriptor)
        # What is published is published, with or without a tidy repository.
        with contextlib.suppress(GitError, OutOfTimeError):
            self.git("gc", "--auto", "--quiet", GIT_DIR=self.repository)

    def remember(self, **changes: object) -> None:
        """Change the state; without a difference nothing is written."""
        state = self.state()
        changed = {key: value for key, value in (state | changes).items() if value is not None}
        if changed == state:
            return
        temporary = self.temporary(self.root)
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(changed, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.state_file)

    def note(self, problem: SyncError) -> bool:
        """Remember why a sync failed; return whether that was said within the last hour."""
        now = time.time()
        error = self.state().get("error")
        said_lately = (
            error is not None
            and without_numbers(error["message"]) == without_numbers(str(problem))
            and 0 <= now - error["said"] < SAY_AGAIN_SECONDS
        )
        if not said_lately:
            since = error["since"] if error else now
            self.remember(error={"message": str(problem), "since": since, "said": now})
        return said_lately

    @staticmethod
    def temporary(directory: Path, prefix: str = "") -> Path:
        """Make up a name that `clear` removes."""
        return directory / f"{prefix}.{os.urandom(8).hex()}.tmp"

    def clear(self) -> None:
        """Remove everything temporary; what resists is left to the next run."""
        places = ((self.root, ""), (self.releases, ""), (self.link.parent, self.root.name))
        for directory, prefix in places:
            for path in directory.iterdir():
                name = path.name
                if not (name.startswith(prefix) and TEMPORARY.fullmatch(name[len(prefix) :])):
                    continue
                if path.is_dir() and not path.is_symlink():
                    import shutil  # slow to load, and seldom needed

                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def synchronise(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    digest = hashlib.sha256(hostname.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 * splay


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


def say_to_terminal(message: str, priority: int = syslog.LOG_INFO) -> None:
    """Say one line to whoever runs this."""
    stream = sys.stderr if priority < syslog.LOG_NOTICE else sys.stdout
    stream.write(" ".join(message.split()) + "\n")
    stream.flush()


def say_to_syslog(message: str, priority: int = syslog.LOG_INFO) -> None:
    """Say one line to the journal; a run that finds nothing new says nothing."""
    if priority < syslog.LOG_DEBUG:
        syslog.syslog(priority, " ".join(message.split()))


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
    commands = parser.add_subparsers(dest="command", metavar="command")
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
                node.sync()
            except BusyError as busy:
                say(f"busy: {busy}", syslog.LOG_DEBUG)


def main() -> int:
    """Run, and turn problems into a line and an exit code."""
    arguments = parse_arguments()
    say = say_to_syslog if arguments.splay else say_to_terminal
    syslog.openlog("airflow-dag-sync", syslog.LOG_PID, syslog.LOG_DAEMON)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(arguments, say)
    except (OSError, SyncError) as error:
        problem = as_sync_error(error)
        if not (arguments.splay and problem.said_lately):
            say(f"failed: {problem}", syslog.LOG_ERR)
        return problem.code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
