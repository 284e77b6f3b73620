# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the declared sources and the vault's records to what one node receives."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.module_utils import credential_format
from ansible_collections.caspian.airflow.plugins.plugin_utils import records as vault_records
from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line

_KEYS = ("name", "record", "hosts")
# Who receives a source that does not say who.
_DEFAULT_HOSTS = ("airflow",)
# Ansible's group of all hosts, which the variable group_names leaves out.
_EVERYWHERE = "all"
# Characters of why a source has no credential.
MAX_REASON = 1000


def credential_source_problems(
    sources: Any, places: list[str] | None = None, only: Any = ()
) -> list[str]:
    """Return everything that is wrong with `credentials_sources`, empty when nothing is.

    `places` are the hosts and groups of the inventory; without it `hosts` goes unchecked. `only`
    is the value of `credentials_only`.
    """
    if isinstance(sources, str | Mapping) or not isinstance(sources, Iterable):
        return ["credentials_sources is not a list"]
    problems = []
    seen = set()
    for position, entry in enumerate(sources, start=1):
        source = _source(entry)
        if "name" not in source:
            problems.append(f"entry {position}: it has no name")
            continue
        problem = credential_format.name_problem(source["name"])
        if problem:
            problems.append(f"entry {position}: the name {problem}")
            continue
        name = source["name"]
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
        for name in _names(only)
        if name not in seen
    ]
    return problems


def credential_sources(sources: Any) -> list[dict[str, Any]]:
    """Return `credentials_sources` with every entry as {name, record, hosts}."""
    if problems := credential_source_problems(sources):
        raise AnsibleFilterError(f"credential_sources: {'; '.join(problems)}")
    return normalised(sources)


def normalised(sources: Iterable[Any]) -> list[dict[str, Any]]:
    """Do what credential_sources does, for sources that are known to have no problem."""
    result = []
    for entry in sources:
        source = _source(entry)
        result.append(
            {
                "name": source["name"],
                "record": source.get("record", source["name"]),
                "hosts": list(source.get("hosts", _DEFAULT_HOSTS)),
            }
        )
    return result


def credential_sources_for(sources: Any, places: Any, only: Any = ()) -> list[dict[str, Any]]:
    """Return the sources that a host receives which is, or is in, one of `places`.

    Where `only` names any, the others are left out.
    """
    here = _places("credential_sources_for", places)
    return received(credential_sources(sources), here, only)


def received(
    sources: Iterable[dict[str, Any]], places: Iterable[str], only: Any = ()
) -> list[dict[str, Any]]:
    """Do what credential_sources_for does, for sources that are normalised."""
    here = {_EVERYWHERE, *places}
    names = set(_names(only))
    return [
        source
        for source in sources
        if not here.isdisjoint(source["hosts"]) and (not names or source["name"] in names)
    ]


def credentials_from_records(records: Any, sources: Any, only: Any = ()) -> dict[str, Any]:
    """Return what `sources` deliver, as `credential_set` takes it.

    A source is in one of `credentials` (its credential), `problems` (why it has none) and `others`
    (`only` leaves it out). `hosts` has who receives it. A reason names fields, never values.
    `warnings` has what is wrong with a credential that is delivered all the same.
    """
    return delivered(records, credential_sources(sources), only)


def delivered(records: Any, sources: Iterable[dict[str, Any]], only: Any = ()) -> dict[str, Any]:
    """Do what credentials_from_records does, for sources that are normalised."""
    if isinstance(records, str | Mapping) or not isinstance(records, Iterable):
        raise AnsibleFilterError("credentials_from_records: the records are not a list")
    found: dict[str, Any] = {}
    repeated = set()
    for record in records:
        if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
            raise AnsibleFilterError(
                "credentials_from_records: the vault lookup returned something else than records"
                " (mappings with the key 'name'); see `ansible-doc -t lookup caspian.airflow.kdbx`"
            )
        repeated |= {record["name"]} & found.keys()
        found[record["name"]] = record
    asked = set(_names(only))
    fetched: dict[str, Any] = {
        **{"credentials": {}, "problems": {}, "warnings": {}},
        **{"others": [], "hosts": {}},
    }
    for source in sources:
        name = source["name"]
        fetched["hosts"][name] = source["hosts"]
        if asked and name not in asked:
            fetched["others"].append(name)
            continue
        try:
            if source["record"] not in found:
                raise ValueError("the vault lookup returned no record")
            if source["record"] in repeated:
                raise ValueError("the vault lookup returned several records of this name")
            record = found[source["record"]]
            fetched["credentials"][name] = vault_records.credential(record)
            if warning := vault_records.expired(record):
                fetched["warnings"][name] = warning
        except ValueError as error:
            # It may name what the vault calls a field.
            fetched["problems"][name] = one_line(str(error), MAX_REASON)
    return fetched


def credential_set(fetched: Any, places: Any) -> dict[str, Any]:
    """Return the part of `fetched` that a host receives which is, or is in, one of `places`.

    That is {"credentials": {name: credential}, "problems": {name: reason}, "keep": [name]}.
    """
    here = {_EVERYWHERE, *_places("credential_set", places)}
    mine = {name for name, hosts in fetched["hosts"].items() if not here.isdisjoint(hosts)}
    return {
        "credentials": {n: value for n, value in fetched["credentials"].items() if n in mine},
        "problems": {n: reason for n, reason in fetched["problems"].items() if n in mine},
        "keep": [name for name in fetched["others"] if name in mine],
    }


def _places(name: str, places: Any) -> Iterable[str]:
    if isinstance(places, str) or not isinstance(places, Iterable):
        raise AnsibleFilterError(f"{name}: the hosts and groups are not a list")
    return places


def _names(only: Any) -> list[Any]:
    """Return a name, or a list of names, as a list."""
    return [only] if isinstance(only, str) and only else list(only or ())


def _near(name: Any, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), sorted(names), n=3)
    return f" (near: {', '.join(near)})" if near else ""


def _source(entry: Any) -> Mapping[str, Any]:
    return entry if isinstance(entry, Mapping) else {"name": entry}


def _host_problems(source: Mapping[str, Any], places: list[str] | None) -> list[str]:
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


class FilterModule:
    """The filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {
            "credential_source_problems": credential_source_problems,
            "credential_sources": credential_sources,
            "credential_sources_for": credential_sources_for,
            "credential_set": credential_set,
            "credentials_from_records": credentials_from_records,
        }
