# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the declared sources and the vault's records to what one node receives. Pure functions."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.module_utils import credential_format
from ansible_collections.caspian.airflow.plugins.plugin_utils import records as vault_records
from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line

MAX_REASON_CHARACTERS = 1000

_KEYS = ("name", "record", "hosts")
# Who receives a source that does not say who.
_DEFAULT_HOSTS = ("airflow",)
# Ansible's group of all hosts, which the variable group_names leaves out.
_EVERYWHERE = "all"


class Source(TypedDict):
    """A declared source: its name, its record in the vault, and who receives it."""

    name: str
    record: str
    hosts: list[str]


class Fetched(TypedDict):
    """What was fetched for all hosts: each source is in one of the first three.

    A reason names fields, never values.
    """

    credentials: dict[str, dict[str, Any]]
    # Why a source has no credential.
    problems: dict[str, str]
    # The sources that nobody asked for this time.
    others: list[str]
    # What is wrong with a credential that is delivered all the same.
    warnings: dict[str, str]
    # Who receives a source.
    hosts: dict[str, list[str]]


class SourcesError(AnsibleError):
    """The declared sources have problems, all of which are in `problems`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def problems_of(declared: Any, places: Collection[str] | None = None, only: Any = ()) -> list[str]:
    """Return everything that is wrong with `credentials_sources`, empty when nothing is.

    `places` are the hosts and groups of the inventory; without it `hosts` goes unchecked. `only`
    is the value of `credentials_only`.
    """
    if isinstance(declared, str | Mapping) or not isinstance(declared, Iterable):
        return ["credentials_sources is not a list"]
    problems = []
    seen = set()
    for position, entry in enumerate(declared, start=1):
        source = _as_mapping(entry)
        if "name" not in source:
            problems.append(f"entry {position}: it has no name")
            continue
        name = source["name"]
        if problem := credential_format.name_problem(name):
            problems.append(f"entry {position}: the name {problem}")
            continue
        if name in seen:
            problems.append(f"{name}: declared more than once")
        seen.add(name)
        problems += [
            f"{name}: unknown key {key!r} (known: {', '.join(_KEYS)})"
            for key in source
            if key not in _KEYS
        ]
        record = source.get("record", name)
        if not isinstance(record, str) or not record.strip():
            problems.append(f"{name}: record is not a text")
        problems += [f"{name}: {problem}" for problem in _host_problems(source, places)]
    problems += [
        f"credentials_only: {name!r} is not declared in credentials_sources{_near(name, seen)}"
        for name in _as_names(only)
        if name not in seen
    ]
    return problems


def parse(declared: Any, places: Collection[str] | None = None, only: Any = ()) -> list[Source]:
    """Return the sources that are declared; SourcesError says what is wrong with them.

    The arguments are those of problems_of.
    """
    if problems := problems_of(declared, places, only):
        raise SourcesError(problems)
    sources: list[Source] = []
    for source in map(_as_mapping, declared):
        name = source["name"]
        hosts = list(source.get("hosts", _DEFAULT_HOSTS))
        sources.append({"name": name, "record": source.get("record", name), "hosts": hosts})
    return sources


def for_places(sources: Iterable[Source], places: Iterable[str], only: Any = ()) -> list[Source]:
    """Return the sources that a host receives which is, or is in, one of `places`.

    Where `only` names any, the others are left out.
    """
    here = {_EVERYWHERE, *places}
    names = set(_as_names(only))
    return [
        source
        for source in sources
        if not here.isdisjoint(source["hosts"]) and (not names or source["name"] in names)
    ]


def resolve(records: Any, sources: Iterable[Source], only: Any = ()) -> Fetched:
    """Return what the vault's records are for the sources.

    Where `only` names any, the sources that it leaves out go to `others`.
    """
    by_name, repeated = _by_name(records)
    asked = set(_as_names(only))
    fetched = Fetched(credentials={}, problems={}, others=[], warnings={}, hosts={})
    for source in sources:
        name = source["name"]
        fetched["hosts"][name] = source["hosts"]
        if asked and name not in asked:
            fetched["others"].append(name)
            continue
        try:
            if source["record"] not in by_name:
                raise ValueError("the vault lookup returned no record")
            if source["record"] in repeated:
                raise ValueError("the vault lookup returned several records of this name")
            record = by_name[source["record"]]
            fetched["credentials"][name] = vault_records.credential(record)
            if warning := vault_records.expired(record):
                fetched["warnings"][name] = warning
        except ValueError as error:
            # It may quote what the vault calls a field.
            fetched["problems"][name] = one_line(str(error), MAX_REASON_CHARACTERS)
    return fetched


def for_host(fetched: Fetched, places: Iterable[str]) -> dict[str, Any]:
    """Return the part of `fetched` for a host that is, or is in, one of `places`.

    Its keys are options of the module credential_files.
    """
    here = {_EVERYWHERE, *places}
    mine = {name for name, hosts in fetched["hosts"].items() if not here.isdisjoint(hosts)}
    return {
        "credentials": {n: value for n, value in fetched["credentials"].items() if n in mine},
        "problems": {n: reason for n, reason in fetched["problems"].items() if n in mine},
        "keep": [name for name in fetched["others"] if name in mine],
    }


def _by_name(records: Any) -> tuple[dict[str, Mapping[str, Any]], set[str]]:
    """Return the records by name, and the names that several of them have."""
    if isinstance(records, str | Mapping) or not isinstance(records, Iterable):
        raise AnsibleError("the records are not a list")
    found: dict[str, Mapping[str, Any]] = {}
    repeated = set()
    for record in records:
        if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
            raise AnsibleError(
                "the vault lookup returned something else than records"
                " (mappings with the key 'name'); see `ansible-doc -t lookup caspian.airflow.kdbx`"
            )
        repeated |= {record["name"]} & found.keys()
        found[record["name"]] = record
    return found, repeated


def _as_mapping(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, Mapping) else {"name": entry}


def _as_names(only: Any) -> list[Any]:
    """Return a name, or a list of names, as a list."""
    return [only] if isinstance(only, str) and only else list(only or ())


def _near(name: Any, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), sorted(names), n=3)
    return f" (near: {', '.join(near)})" if near else ""


def _host_problems(source: Mapping[str, Any], places: Collection[str] | None) -> list[str]:
    if "hosts" not in source:
        return []
    hosts = source["hosts"]
    if isinstance(hosts, str | Mapping) or not isinstance(hosts, Iterable):
        return ["hosts is not a list of hosts and groups"]
    if not hosts:
        return ["hosts is empty: nobody would receive it; leave it out, or the whole entry"]
    problems = [f"hosts: {host!r} is not a text" for host in hosts if not isinstance(host, str)]
    if places is not None and not problems:
        problems = [
            f"hosts: {host!r} is no host or group of the inventory"
            for host in hosts
            if host not in (_EVERYWHERE, *places)
        ]
    return problems
