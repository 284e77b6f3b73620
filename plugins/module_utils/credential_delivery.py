# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One delivery of credentials to this node: the set, the log, the status file, and who is told."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.caspian.airflow.plugins.module_utils import (
    credential_format,
    credential_status,
    credential_store,
    locked_files,
)
from ansible_collections.caspian.airflow.plugins.module_utils.credential_plan import (
    DesiredSet,
    Plan,
)

MAX_NOTIFY_SECONDS = 100
MAX_QUOTED_CHARACTERS = 500

_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*")


class PublishedError(Exception):
    """The set is published, and a step after that failed."""

    def __init__(self, plan: Plan, problems: list[str]) -> None:
        super().__init__(
            "the credentials ARE published, but after that something failed, which the next run"
            f" tries again: {'; '.join(problems)}"
        )
        self.plan = plan


class NotifyError(Exception):
    """Units were told to reload and did not."""

    def __init__(self, units: list[str], reason: str) -> None:
        super().__init__(f"systemctl could not reload {', '.join(units)}: {reason}")
        self.units = units


def deliver(params: dict[str, Any], desired: DesiredSet, check_mode: bool) -> Plan:
    """Bring the set on the disk in line; return what changed.

    `params` are those of the module. Raises LockedFileError for what is refused, and
    PublishedError for what failed after the set was published.
    """
    check(params, desired)
    try:
        delivery = Delivery(params, desired, check_mode)
    except (locked_files.MissingDirectoryError, locked_files.UnknownAccountError):
        if not check_mode:
            raise
        # A task before this one would have made them.
        return _first_plan(params, desired)
    return delivery.run()


def check(params: dict[str, Any], desired: DesiredSet) -> None:
    """Refuse names and credentials that must not become files, and the like."""
    problems = [
        problem
        for name in [*desired.credentials, *desired.problems, *desired.keep]
        if (problem := credential_format.name_problem(name))
    ]
    problems += [
        f"{name}: {problem}"
        for name, credential in desired.credentials.items()
        if (problem := credential_format.content_problem(credential))
    ]
    problems += [
        f"notify: {unit!r} is not the name of a systemd unit"
        for unit in params["notify"]
        if not _UNIT.fullmatch(unit)
    ]
    if params["copy_of"] and not credential_status.is_time(params["copy_of"]):
        problems.append("copy_of is not a time such as 2026-01-31T08:10:04Z")
    directory, link = locked_files.split_path(params["path"])
    store = f"{directory.rstrip('/')}/.{link}"
    if params["status"] and f"{params['status']}/".startswith((f"{params['path']}/", f"{store}/")):
        problems.append(f"status: {params['status']} is a place of the credentials; name another")
    if problems:
        raise locked_files.LockedFileError("; ".join(problems))


def _first_plan(params: dict[str, Any], desired: DesiredSet) -> Plan:
    """Return what a run would change where nothing is there yet."""
    plan = Plan(desired, added=list(desired.credentials), layout=["link", "store"])
    if params["status"]:
        plan.put_in_order("status")
    plan.notified = list(dict.fromkeys(params["notify"]))
    now = time.time()
    plan.entries = credential_status.source_entries(
        desired.credentials,
        desired.problems,
        desired.keep,
        fingerprints=dict.fromkeys(desired.credentials, ""),
        former={},
        now=now,
        written_at=lambda _name: now,
        copy_of=params["copy_of"],
    )
    return plan


class StatusFile:
    """The file that says what this node has, and since when.

    Raises MissingDirectoryError where its directory is missing.
    """

    def __init__(self, path: str, wanted: locked_files.Attributes) -> None:
        self.path = path
        self.wanted = wanted
        directory, self.name = locked_files.split_path(path)
        try:
            self.dir_fd = locked_files.open_directory(directory)
        except locked_files.LockedFileError as error:
            raise type(error)(f"status: {error}") from None
        found = locked_files.status(self.name, self.dir_fd)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise locked_files.LockedFileError(f"status: {path} is a directory: move it away")
        content, self.former, self.has_drifted = b"", None, True
        if found is not None:
            with contextlib.suppress(OSError):
                content = locked_files.read(
                    self.name, self.dir_fd, credential_status.MAX_STATUS_BYTES
                )
                self.former = credential_status.parse(content)
            changes = locked_files.differences(self.name, content, wanted, self.dir_fd)
            self.has_drifted = bool(changes.keys() - {"content"})

    def is_out_of_order(self, current: str | None) -> bool:
        """Whether it is more than older than it will be."""
        if self.former is None or self.has_drifted:
            return True
        # A run that was killed between publishing and writing the file leaves another generation.
        return current is not None and self.former.get("generation") != current

    def former_entries(self) -> dict[str, credential_status.Entry]:
        """Return the entries that the former run wrote."""
        entries: dict[str, credential_status.Entry] = self.former["sources"] if self.former else {}
        return entries

    def leftovers(self) -> list[str]:
        """List the temporary files that a killed run has left."""
        return locked_files.leftovers(self.name, self.dir_fd)

    def write(self, head: dict[str, Any], entries: dict[str, credential_status.Entry]) -> None:
        """Replace the file."""
        try:
            for name in self.leftovers():
                os.unlink(name, dir_fd=self.dir_fd)
            content = credential_status.encode(head, entries)
            locked_files.replace(self.name, content, self.wanted, self.dir_fd)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None


class Delivery:
    """One run of the module, with the places open that it writes to."""

    def __init__(self, params: dict[str, Any], desired: DesiredSet, check_mode: bool) -> None:
        self.params = params
        self.desired = desired
        self.check_mode = check_mode
        self.now = time.time()
        self.units: list[str] = list(dict.fromkeys(params["notify"]))
        self.store = credential_store.Store(params["path"], params["owner"], params["group"])
        self.status: StatusFile | None = None
        self.problems: list[str] = []

    def run(self) -> Plan:
        """Bring the set on the disk in line; return what changed."""
        store = self.store
        layout = store.open()
        if not self.check_mode:
            if layout:
                store.prepare()
            store.lock()
            store.prepare_key()
            # The run that had the lock has written an earlier time.
            self.now = time.time()
        self._open_status()
        plan = store.plan(self.desired, layout)
        self._plan_status(plan)
        self._refuse_to_empty(plan)
        if not self.check_mode:
            self._apply(plan)
        elif self.units and (plan.needs_generation or store.is_notify_pending()):
            plan.notified = self.units
        return plan

    def _open_status(self) -> None:
        if self.params["status"]:
            try:
                self.status = StatusFile(self.params["status"], self.store.file_attributes)
            except locked_files.MissingDirectoryError:
                if not self.check_mode:
                    raise

    def _plan_status(self, plan: Plan) -> None:
        with self.store.published() as directory:

            def written_at(name: str) -> float:
                if name not in plan.unchanged:
                    return self.now
                return credential_store.written_at(name, directory, self.now)

            plan.entries = credential_status.source_entries(
                self.desired.credentials,
                self.desired.problems,
                self.desired.keep,
                fingerprints=self._fingerprints(plan, plan.contents),
                former=self.status.former_entries() if self.status else {},
                now=self.now,
                written_at=written_at,
                copy_of=self.params["copy_of"],
            )
        if not self.params["status"]:
            return
        if self.status is None or self.status.is_out_of_order(self.store.current()):
            plan.put_in_order("status")
        if self.status and self.status.leftovers():
            plan.put_in_order("leftovers")

    def _fingerprints(self, plan: Plan, names: Iterable[str]) -> dict[str, str]:
        key = self.store.key
        return {name: credential_status.fingerprint(key, plan.contents[name]) for name in names}

    def _refuse_to_empty(self, plan: Plan) -> None:
        if plan.removed and not plan.contents and not self.params["allow_empty"]:
            raise locked_files.LockedFileError(
                f"the set is empty and would remove all {len(plan.removed)} credentials of this"
                " node; nothing was changed. If that is meant, allow it with allow_empty: true"
                " (role credentials: credentials_allow_empty)"
            )

    def _apply(self, plan: Plan) -> None:
        store = self.store
        # A run that was killed before it logged its generation, which is about to go, left this.
        self._attempt(store.write_log)
        if plan.needs_generation:
            store.publish(plan, lambda name: self._log_lines(plan, name), bool(self.units))
            self._attempt(store.sync)
        if plan.needs_generation or "leftovers" in plan.layout:
            self._attempt(store.clean)
        if plan.needs_generation:
            self._attempt(store.write_log)
        self._attempt(lambda: self._write_status(plan))
        self._attempt(lambda: self._notify(plan))
        if self.problems:
            raise PublishedError(plan, self.problems)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step around the publishing, whatever became of the one before it."""
        try:
            step()
        except OSError as error:
            self.problems.append(str(error))

    def _log_lines(self, plan: Plan, generation: str) -> list[str]:
        changes = {kind: names for kind, names in plan.changes().items() if kind != "kept"}
        written = [*plan.added, *plan.updated, *plan.repaired]
        return list(
            credential_status.log_lines(
                generation,
                self.params["by"],
                self.params["vault"],
                changes,
                self._fingerprints(plan, written),
            )
        )

    def _write_status(self, plan: Plan) -> None:
        if self.status is None:
            return
        head = {
            "version": credential_status.VERSION,
            "refreshed_at": credential_status.timestamp(self.now),
            "vault": self.params["vault"],
            "by": self.params["by"],
            "generation": self.store.current(),
        }
        self.status.write(head, plan.entries)

    def _notify(self, plan: Plan) -> None:
        if not self.units or not self.store.is_notify_pending():
            return
        try:
            notify(self.units)
        except NotifyError as error:
            plan.notified = [unit for unit in self.units if unit not in error.units]
            self.problems.append(str(error))
        else:
            plan.notified = self.units
            self.store.mark_notified()


def notify(units: list[str]) -> None:
    """Have systemd reload the units that run, or restart those that can't reload."""
    try:
        # `run_command` of a module has no time-out.
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(  # noqa: S603 - the names of units were checked
            ["systemctl", "try-reload-or-restart", *units],  # noqa: S607 - where the system has it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=MAX_NOTIFY_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotifyError(units, f"it took more than {MAX_NOTIFY_SECONDS} seconds") from None
    except OSError as error:
        raise NotifyError(units, error.strerror or str(error)) from None
    if done.returncode:
        failed = [unit for unit in units if unit in done.stderr]
        said = " ".join(done.stderr.split())[:MAX_QUOTED_CHARACTERS]
        raise NotifyError(failed or units, said or "it says not why")
