# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all vault lookups share: options, the order of names, secrets, and names that fail."""

from __future__ import annotations

import os
import stat
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants as C  # noqa: N812 - Ansible's own way
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.caspian.airflow.plugins.plugin_utils import records
from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import printable

MAX_NAMES_WARNED_OF = 20

display = Display()


class VaultLookup(LookupBase):
    """A lookup of records by name; a subclass knows one kind of vault.

    Its documentation extends the fragment caspian.airflow.vault, which has the options used here.
    """

    @abstractmethod
    def fetch(self, names: list[str]) -> dict[str, dict[str, Any] | LookupError]:
        """Return for each name its record, or why this one can't be delivered.

        Names come in order and without repeats, at least one. A LookupError's first argument is
        the reason; what fails as a whole raises AnsibleError.
        """

    @abstractmethod
    def place(self) -> str:
        """Return what messages call the vault: its path, or its URL without user information."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Ask the vault once and return the records of all names."""
        variables = self._templated(variables or {})
        self._check_secrets(variables, kwargs)
        self.set_options(var_options=variables, direct=kwargs)
        names = _names(terms)
        if not names:
            return []
        found = self.fetch(list(dict.fromkeys(names)))
        self._judge_expired(found)
        failed = {
            # A reason may quote the names of entries, which can have any characters.
            name: printable(str(why.args[0]))
            for name, why in found.items()
            if isinstance(why, LookupError)
        }
        if failed and self.get_option("missing") == "fail":
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
            raise AnsibleError(f"{self.place()}: {reasons}")
        results = {name: {"name": name, "error": reason} for name, reason in failed.items()}
        results |= {name: one for name, one in found.items() if not isinstance(one, LookupError)}
        # A name that is asked for twice gets two records, since whoever has one may change it.
        return [{**results[name]} for name in names]

    def _judge_expired(self, found: dict[str, dict[str, Any] | LookupError]) -> None:
        """Warn of the records that have expired in the vault, or refuse them."""
        reasons = {
            name: reason
            for name, record in found.items()
            if not isinstance(record, LookupError) and (reason := records.expired(record))
        }
        if self.get_option("expired") == "refuse":
            found |= {name: LookupError(reason) for name, reason in reasons.items()}
        elif reasons:
            said = [f"{name}: {reason}" for name, reason in reasons.items()][:MAX_NAMES_WARNED_OF]
            more = f"; and {len(reasons) - len(said)} more" if len(reasons) > len(said) else ""
            display.warning(f"{self.place()}: {'; '.join(said)}{more}")

    def options(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values of options by their names."""
        return {name: self.get_option(name) for name in names}

    def secret(self, option: str) -> str | None:
        """Return the value of an option that may also be given as `<option>_file`.

        An empty value counts as none; an empty file is an error.
        """
        what = option.replace("_", " ")
        value, file = self.get_option(option), self.get_option(f"{option}_file")
        if value and file:
            raise AnsibleError(f"Both a {what} and a {what} file are given: keep one.")
        if file:
            return _read_secret(file, what)
        try:
            # An environment variable may hold any bytes.
            (value or "").encode()
        except UnicodeEncodeError:
            raise AnsibleError(f"The {what} is not UTF-8 text.") from None
        return value or None

    def _check_secrets(self, variables: dict[str, Any], arguments: dict[str, Any]) -> None:
        """Refuse secrets that are no texts, which Ansible's own message would quote."""
        options = C.config.get_configuration_definitions("lookup", self._load_name)
        for option, definition in options.items():
            if f"{option}_file" not in options:
                continue
            values = [arguments.get(option)]
            values += [variables.get(variable["name"]) for variable in definition.get("vars", [])]
            if not all(isinstance(value, str | int | None) for value in values):
                raise AnsibleError(f"The {option.replace('_', ' ')} is not a text.")

    def _templated(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the variables that set options, templated, which Ansible does not do here."""
        names = C.config.get_plugin_vars("lookup", self._load_name)
        # Ansible's loader gives every lookup a templar.
        template = self._templar.template  # type: ignore[union-attr]
        return {name: template(variables[name]) for name in names if name in variables}


class FileEntry(NamedTuple):
    """An entry of a file vault: where it is, and what the vault's own reader has of it."""

    group: list[str]
    title: str
    user: str
    raw: Any
    # Whether the vault's own search finds it: what it leaves out has a path, and no name besides.
    searchable: bool = True

    @property
    def path(self) -> str:
        """The path from the file's root."""
        return "/" + "/".join([*self.group, self.title])


class FileVaultLookup(VaultLookup):
    """A lookup in a file, whose entries have a title in a tree of groups.

    Its documentation has the options `path` and `group`.
    """

    @abstractmethod
    def entries(self) -> tuple[list[FileEntry], list[list[str]]]:
        """Open the file and return its entries and its groups; what fails raises AnsibleError."""

    @abstractmethod
    def record(self, name: str, entry: FileEntry) -> dict[str, Any]:
        """Return the entry's record; LookupError says why it can't be delivered."""

    def place(self) -> str:
        """Return the file's path."""
        return str(self.get_option("path"))

    def fetch(self, names: list[str]) -> dict[str, dict[str, Any] | LookupError]:
        """Open the file once and return the records of all names."""
        entries, groups = self.entries()
        below = [part for part in (self.get_option("group") or "").split("/") if part]
        if not any(group[: len(below)] == below for group in [[], *groups]):
            raise AnsibleError(f"{self.place()}: there is no group {self.get_option('group')!r}.")
        by_name = _by_name(
            [entry for entry in entries if entry.group[: len(below)] == below], below
        )
        found: dict[str, dict[str, Any] | LookupError] = {}
        for name in names:
            try:
                found[name] = self.record(name, _only(by_name.get(name, []), name, entries))
            except LookupError as error:
                found[name] = error
        return found

    def read(self, option: str) -> bytes | None:
        """Return what is in the file that an option names; None where it names none."""
        file = self.get_option(option)
        if not file:
            return None
        if not Path(file).is_file():
            raise AnsibleError(f"{file}: there is no such file on the controller.")
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise AnsibleError(f"{file}: {error.strerror}.") from None


def _by_name(entries: list[FileEntry], below: list[str]) -> dict[str, list[FileEntry]]:
    """Return the entries by title, by path with and without a slash in front, and by user there."""
    by_name = defaultdict(list)
    for entry in entries:
        path = "/".join([*entry.group[len(below) :], entry.title])
        names = {path, f"/{path}"} | ({entry.title} if entry.searchable else set())
        for name in names | {_with_user(name, entry) for name in names}:
            by_name[name].append(entry)
    return by_name


def _with_user(name: str, entry: FileEntry) -> str:
    return f"{name} [{entry.user}]"


def _only(found: list[FileEntry], name: str, entries: list[FileEntry]) -> FileEntry:
    """Return the one entry that a name finds among all entries; LookupError where it is not one."""
    if not found:
        left_out = [one.path for one in entries if not one.searchable and one.title == name]
        also = (
            f"; the vault leaves the groups of {', '.join(left_out)} out of searches: give the path"
            if left_out
            else ""
        )
        raise LookupError(f"no entry has this title or path{also}")
    if len(found) > 1:
        paths = [entry.path for entry in found]
        if len(set(paths)) < len(paths):
            paths = [_with_user(entry.path, entry) for entry in found]
        raise LookupError(
            f"{len(found)} entries have this name, give the path of one: {', '.join(sorted(paths))}"
        )
    return found[0]


def _names(terms: list[Any]) -> list[str]:
    """Return the terms, and those of lists among them: `query(vault, names)` means all names."""
    names = []
    for term in terms:
        if isinstance(term, list):
            names += _names(term)
        elif isinstance(term, str):
            names.append(term)
        else:
            raise AnsibleError(
                f"A name to look up is not a text but {type(term).__name__}; a name that looks like"
                " a number needs quotes."
            )
    return names


def _read_secret(file: str, what: str) -> str:
    try:
        # The file that is checked is the one that is read, whatever the path names a moment later.
        with Path(file).open("rb") as handle:
            if os.fstat(handle.fileno()).st_mode & stat.S_IRWXO:
                raise AnsibleError(f"{file}: others may use the {what} file: chmod 600 it.")
            secret = handle.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise AnsibleError(f"{file}: the {what} file is not UTF-8 text.") from None
    except OSError as error:
        raise AnsibleError(f"{file}: the {what} file: {error.strerror}.") from None
    if not secret:
        raise AnsibleError(f"{file}: the {what} file is empty.")
    return secret
