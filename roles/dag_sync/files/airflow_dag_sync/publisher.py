# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done: sync, fetch, rollback and unpin."""

from __future__ import annotations

import contextlib
import syslog
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from airflow_dag_sync import status
from airflow_dag_sync.builder import ReleaseBuilder
from airflow_dag_sync.checkout import BackgroundFingerprint
from airflow_dag_sync.errors import (
    BlockedError,
    BusyError,
    FetchError,
    GitError,
    MisconfiguredError,
    OutOfTimeError,
    PostponedError,
    SyncError,
    UnreachableError,
    as_sync_error,
)
from airflow_dag_sync.files import locked, temporary
from airflow_dag_sync.git import Git
from airflow_dag_sync.processes import Deadline
from airflow_dag_sync.releases import Releases
from airflow_dag_sync.remote import Remote, full_names
from airflow_dag_sync.repository import Repository
from airflow_dag_sync.scope import missing_folder_problem
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.state import Blocked, Failure, Postponed, State
from airflow_dag_sync.text import Say, timestamp, without_numbers

# The same failure is reported again after so long.
MIN_REPORT_SECONDS = 3600
# Cron tries a release that could not be made again after the first, and then twice as late each
# time. A tick that comes a little early is one of the same minute.
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 50, 1800
# A task that waits for its release has a minute, and needs the repository that a fetch is at.
MAX_TIP_SECONDS = 15

T = TypeVar("T")


class Publisher:
    """Brings and publishes the releases of this host.

    Nothing that is published is ever written to, but to make good what somebody else has changed
    in it; so whatever fails leaves the last good tree. Each step works on a temporary name, which
    the next run clears, and ends in a rename, so a run may be killed anywhere.
    """

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.deadline = Deadline(settings.timeout_seconds)
        self.releases = Releases(Path(settings.link))
        self.root = self.releases.root
        self.state_file = self.root / "state.json"
        git = Git(settings, self.deadline)
        self.remote = Remote(git, settings.repository)
        self.repository = Repository(
            git, self.root / "repository.git", settings.repository, settings.depth
        )
        self.load()

    # The commands

    def sync(self, *, retry_blocked: bool) -> None:
        """Publish what the ref points to, also what has failed or was blocked if so asked."""
        with self.locked(wait=False):
            try:
                self.with_sound_repository(lambda: self.publish_newest(retry_blocked))
            except BusyError:
                raise
            except (OSError, SyncError) as error:
                problem = as_sync_error(error)
                with contextlib.suppress(OSError):
                    problem.reported_recently = self.note(problem)
                    self.write_metrics()
                raise problem from error

    def fetch(self, sha: str) -> None:
        """Bring a release without publishing it."""
        # Its age counts from now: whoever asks has not locked it yet.
        if self.releases.use(sha):
            self.say(f"present {sha}")
            return
        self.settings.require_files()
        self.releases.folder.mkdir(parents=True, exist_ok=True)
        # This goes on beside a sync, whose state it leaves alone: that looks at what it does not
        # know.
        _sha, made = self.with_sound_repository(lambda: self.builder.ensure(sha))
        self.say(f"fetched {sha}" if made else f"present {sha}")

    def rollback(self, sha: str | None) -> None:
        """Publish an earlier release that is still here, and stay on it."""
        with self.locked(wait=True):
            pinned = self.state.pinned
            if not sha and pinned:
                raise MisconfiguredError(f"already pinned to {pinned}: name the release")
            wanted = sha or self.state.previous
            if not wanted or not self.releases.has(wanted):
                here = ", ".join(path.name for path in self.releases.by_age()) or "none"
                raise MisconfiguredError(
                    f"there is no release {wanted or 'before the published one'} here, only: {here}"
                )
            # The pin is saved before the flip: a run that is killed in between is completed by
            # the next sync.
            self.state.pinned, self.state.pinned_since = wanted, time.time()
            self.with_sound_repository(lambda: self.publish(wanted))
            self.write_metrics()

    def unpin(self) -> None:
        """Follow the ref again, from the next sync on."""
        with self.locked(wait=True):
            pinned, self.state.pinned, self.state.pinned_since = self.state.pinned, None, None
            self.save()
            self.write_metrics()
            self.say(f"unpinned {pinned}" if pinned else "unchanged: nothing was pinned")

    # What surrounds each of them

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[None]:
        """Be the only one who publishes; nothing temporary is left of this run or a killed one."""
        self.releases.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.root / "lock", self.deadline.at if wait else 0):
            self.load()
            try:
                yield
            finally:
                with contextlib.suppress(BusyError), self.builder.repository_locked(wait=False):
                    self.repository.clear_temporary()
                    self.releases.clear_temporary()

    def with_sound_repository(self, attempt: Callable[[], T]) -> T:
        """Do something, and once more with a new repository if the one here is damaged.

        Any other failure is the attempt's own: a new repository would not help.
        """
        try:
            return attempt()
        except (FetchError, GitError) as error:
            with self.builder.repository_locked():
                if not (damage := self.repository.damage()):
                    raise
                self.repository.renew(temporary(self.root))
            directory = self.repository.directory
            self.say(f"{directory} was damaged, made anew: {damage}", syslog.LOG_WARNING)
            try:
                return attempt()
            except (FetchError, GitError, UnreachableError) as second:
                first = "" if str(error) in str(second) else f"; before that, {error}"
                why = f"{second} ({directory} was damaged: {damage}{first})"
                raise type(second)(why) from error

    def load(self) -> None:
        """Read what is remembered, which another run may have changed meanwhile."""
        self.state = State.load(self.state_file)
        self.builder = ReleaseBuilder(
            self.settings, self.repository, self.releases, self.state, self.deadline, self.say
        )

    def save(self) -> None:
        """Write down what has to be remembered."""
        self.state.save(self.state_file)

    def write_metrics(self) -> None:
        """Write the metrics, where a file is asked for."""
        if file := self.settings.metrics_file:
            status.write_metrics(Path(file), self.settings.ref, self.releases, self.state)

    def note(self, problem: SyncError) -> bool:
        """Remember why a sync failed; return whether that was reported within the last hour."""
        state, now = self.state, time.time()
        message = problem.log_line.removeprefix("failed: ")
        recently = (
            state.error is not None
            and without_numbers(state.error.message) == without_numbers(message)
            and 0 <= now - state.error.reported < MIN_REPORT_SECONDS
        )
        if not recently:
            state.error = Failure(message, state.error.since if state.error else now, now)
        if isinstance(problem, BlockedError):
            before = state.blocked
            since = before.since if before and before.sha == problem.sha else now
            state.blocked = Blocked(problem.sha, str(problem), since, self.builder.terms())
        state.code = problem.code
        state.failures += 1
        self.save()
        return recently

    def name(self) -> str:
        """Say why this release."""
        pinned = self.state.pinned
        return "pinned until `airflow-dag-sync unpin`" if pinned else self.settings.ref

    # How a commit becomes what readers get

    def publish_newest(self, retry_blocked: bool) -> None:
        """Ask, and publish when it is not what readers get."""
        self.settings.require_files()
        published = self.releases.published()
        # The server takes its time: meanwhile the release is looked at.
        look = BackgroundFingerprint(self.releases.path(published)) if published else None
        irreparable: SyncError | None = None
        try:
            seen, refname = self.newest()
        finally:
            if published and look:
                irreparable = self.repair_published(published, look)
        self.builder.refname = self.state.refname = refname
        self.state.seen = seen
        pinned = self.state.pinned
        sha = pinned or seen
        if self.releases.published() == sha:
            if irreparable:
                raise irreparable
            # The signers may have been set later.
            self.builder.require_signature(sha)
            # The folder may have been set later, too.
            if problem := missing_folder_problem(
                self.releases.path(sha), self.settings.dags_folder
            ):
                raise MisconfiguredError(f"{sha} is published, and {problem}")
            self.say(f"unchanged {sha} ({self.name()})", syslog.LOG_DEBUG)
        else:
            if not retry_blocked:
                self.refuse_blocked(sha)
            made = False
            if not self.releases.has(sha):
                sha, made = self.bring(sha, None if pinned else self.builder.refname)
                self.state.seen = seen if pinned else sha
            self.publish(sha, made=made)
            self.prune()
        self.succeed()

    def newest(self) -> tuple[str, str | None]:
        """Ask what the ref is; return its commit and its full name on the server.

        Where a fetch can tell, it does: then news are here with the answer, over one connection.
        """
        state, name = self.state, full_names(self.settings.ref)[0]
        # A pinned node needs no news, and one that has failed needs a reason: the question has it.
        if name == state.refname and not state.pinned and not state.error:
            try:
                if self.repository.is_complete:
                    with self.deadline.at_most(MAX_TIP_SECONDS):
                        return self.builder.fetch_tip(name), name
            except (OSError, SyncError):
                if self.deadline.left <= 0:
                    raise
        return self.remote.resolve(self.settings.ref)

    def succeed(self) -> None:
        """Remember that all is well."""
        error, self.state.error = self.state.error, None
        self.state.code, self.state.postponed = 0, None
        if not self.state.pinned:
            self.state.blocked = None
        self.save()
        self.releases.last_success.touch()
        self.write_metrics()
        if error:
            self.say(f"works again, after failing since {timestamp(error.since)}")

    def bring(self, sha: str, refname: str | None) -> tuple[str, bool]:
        """Have the release of a commit; what fails is tried again later, and ever later.

        Returns its sha, and whether it was made just now.
        """
        try:
            return self.builder.ensure(sha, refname)
        except (FetchError, GitError, MisconfiguredError) as error:
            before = self.state.postponed
            same = before if before and before.sha == sha else None
            delay = min(2 * same.delay, MAX_RETRY_SECONDS) if same else MIN_RETRY_SECONDS
            until = time.time() + delay
            self.state.postponed = Postponed(sha, str(error), error.code, until, delay)
            raise

    def publish(self, sha: str, *, made: bool = False) -> None:
        """Flip the link to a release that may be published; one made just now is whole."""
        if not made:
            self.builder.repair(sha)
        self.builder.require_signature(sha)
        self.builder.require_gate(sha)
        previous = self.releases.published()
        if previous and previous != sha:
            self.state.previous = previous
        self.save()
        self.releases.flip(sha)
        self.say(f"published {sha} ({self.name()})")
        for warning in self.state.release(sha).all_warnings:
            self.say(f"warning of {sha}: {warning}", syslog.LOG_WARNING)

    def prune(self) -> None:
        """Remove releases that nobody needs any more, and what git kept for them."""
        settings, known = self.settings, self.state.releases
        for sha, days in self.releases.prune(settings.keep_releases, settings.keep_days):
            self.say(f"removed {sha}, last used {days} days ago")
        gone = [sha for sha in known if not self.releases.has(sha)]
        self.state.releases = {sha: known[sha] for sha in known if sha not in gone}
        # What is published is published, with or without a tidy repository.
        with (
            contextlib.suppress(GitError, OutOfTimeError, BusyError),
            self.builder.repository_locked(),
        ):
            self.repository.open()
            self.repository.unpin_objects(gone)

    def repair_published(self, sha: str, look: BackgroundFingerprint) -> SyncError | None:
        """Make good what was changed in the published release; return why that was impossible.

        Then a newer commit is published nevertheless.
        """
        try:
            now = look.result()
            self.with_sound_repository(lambda: self.builder.repair(sha, now=now))
        except BusyError:
            raise
        except (OSError, SyncError) as error:
            why = as_sync_error(error)
            path = self.releases.path(sha)
            return SyncError(f"{path} was changed and cannot be repaired: {why}")
        return None

    def refuse_blocked(self, sha: str) -> None:
        """Say again why a commit is not published, as long as nothing that matters has changed."""
        blocked, postponed = self.state.blocked, self.state.postponed
        if blocked and blocked.sha == sha and blocked.terms == self.builder.terms():
            raise BlockedError(sha, blocked.reason)
        # The clock may have jumped back since.
        if (
            postponed
            and postponed.sha == sha
            and 0 < postponed.until - time.time() <= postponed.delay
        ):
            raise PostponedError(postponed.message, postponed.code)
