# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the declared sources and the vault's records to what one node receives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.module_utils import credential_format
from ansible_collections.caspian.airflow.plugins.plugin_utils import records as vault_records

_KEYS = ("name", "record", "hosts")
# Ansible's group of all hosts, which the variable group_names leaves out.
_EVERYWHERE = "all"


def credential_source_problems(sources: Any, places: list[str] | None = None) -> list[str]:
    """Return everything that is wrong with `credentials_sources`, empty when nothing is.

    `places` are the hosts and groups of the inventory; without it `hosts` goes unchecked.
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
    return problems


def credential_sources(sources: Any) -> list[dict[str, Any]]:
    """Return `credentials_sources` with every entry as {name, record, hosts}."""
    if problems := credential_source_problems(sources):
        raise AnsibleFilterError(f"credential_sources: {'; '.join(problems)}")
    result = []
    for entry in sources:
        source = _source(entry)
        result.append(
            {
                "name": source["name"],
                "record": source.get("record", source["name"]),
                "hosts": list(source.get("hosts", [_EVERYWHERE])),
            }
        )
    return result


def credential_sources_for(sources: Any, places: Any) -> list[dict[str, Any]]:
    """Return the sources that a host receives which is, or is in, one of `places`."""
    if isinstance(places, str) or not isinstance(places, Iterable):
        raise AnsibleFilterError("credential_sources_for: the hosts and groups are not a list")
    here = {_EVERYWHERE, *places}
    return [source for source in credential_sources(sources) if here & set(source["hosts"])]


def credentials_from_records(records: Any, sources: Any) -> dict[str, dict[str, Any]]:
    """Return {"credentials": {name: credential}, "problems": {name: reason}} for `sources`.

    A source is in one of the two. A reason names fields, never values.
    """
    if isinstance(records, str | Mapping) or not isinstance(records, Iterable):
        raise AnsibleFilterError("credentials_from_records: the records are not a list")
    found = {}
    for record in records:
        if not isinstance(record, Mapping) or "name" not in record:
            raise AnsibleFilterError(
                "credentials_from_records: the vault lookup returned something else than records"
                " (mappings with the key 'name'); see `ansible-doc -t lookup caspian.airflow.kdbx`"
            )
        found[record["name"]] = record
    credentials, problems = {}, {}
    for source in credential_sources(sources):
        try:
            if source["record"] not in found:
                raise ValueError("the vault lookup returned no record")
            credentials[source["name"]] = vault_records.credential(found[source["record"]])
        except ValueError as error:
            problems[source["name"]] = str(error)
    return {"credentials": credentials, "problems": problems}


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
            "credentials_from_records": credentials_from_records,
        }
