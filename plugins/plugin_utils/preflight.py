# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an inventory and its hosts, found before anything is changed.

Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    credential_sources,
    node_answers,
    node_facts,
    outage,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.addresses import (
    address_problem,
    addresses_of,
    is_loopback,
    parse,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line, text_of
from jinja2 import UndefinedError

# Debian release → the Python it ships, for which packages/ has a lock.
SUPPORTED = {"12": "3.11", "13": "3.13"}

# What holds where an inventory does not say otherwise, for all hosts or for some.
CLOCK_SKEW_SECONDS = 5
DISK_MB = 2048
MEMORY_MB = 900

MAX_REASON_CHARACTERS = 300

# Variable that every inventory has to set → what it is.
REQUIRED = {
    "caspian_secrets_dir": "the folder on this machine for the secrets that are generated",
    "dag_sync_repository": "the repository that the DAGs come from",
}

# Group of hosts inside the cluster → the variables that replace it by a service outside.
SERVICES = {
    "metadata_db": ("airflow_external_database_url",),
    "broker": ("airflow_external_broker_url",),
}
# URLs that a user gives, each of which Airflow, SQLAlchemy or Celery has to be able to read.
URLS = ("airflow_external_api_url", *SERVICES["metadata_db"], *SERVICES["broker"])
# Groups of hosts that others have to reach by their address.
REACHED = ("scheduler", "worker", "metadata_db", "broker")
# Groups of hosts that credentials are delivered to; the control node has those of its alerts.
RECEIVING = ("scheduler", "worker", "control")


def reason(message: Any) -> str:
    """Return the line of an error message that tells the cause, as text that can be printed."""
    lines = [line.strip() for line in text_of(message).splitlines() if line.strip()]
    last = lines[-1] if lines else "no reason given"
    cause = re.sub(r"^.*(?:via ssh|over ssh): +", "", last).removeprefix("Task failed: ")
    return one_line(cause, MAX_REASON_CHARACTERS)


def made_out(value: Any) -> None:
    """Raise what keeps a part of a variable from being made out.

    Within a template, Ansible returns something in its place, which raises when it is used.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            made_out(part)
    else:
        bool(value)


class Readable(Mapping[str, Any]):
    """A host's variables, where one whose value cannot be made out is as if it were not set.

    Such a one is a template that needs what is not there, such as the facts of a host that did not
    answer. `unreadable` collects them: variable and reason → hosts.
    """

    def __init__(
        self,
        host: str,
        variables: Mapping[str, Any],
        unreadable: dict[tuple[str, str], list[str]],
    ) -> None:
        self._host = host
        self._variables = variables
        self._unreadable = unreadable

    def __getitem__(self, name: str) -> Any:
        try:
            made_out(value := self._variables[name])
            return value
        except (AnsibleError, UndefinedError) as error:
            # Within a template, jinja2's error wraps that of Ansible, which has the reason.
            cause = error if isinstance(error, AnsibleError) else error.__cause__ or error
            hosts = self._unreadable.setdefault((name, reason(cause)), [])
            if self._host not in hosts:
                hosts.append(self._host)
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def unreadable_problems(unreadable: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[str]:
    """Yield the variables that cannot be made out, each with its hosts and the reason."""
    for (variable, cause), hosts in unreadable.items():
        yield f"{variable} cannot be made out for {', '.join(hosts)}: {cause}"


def group_problems(groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what the cluster lacks as a whole."""
    for group in ("scheduler", "worker"):
        if not groups.get(group):
            yield f"the group {group} is empty: give it a host in the inventory"


def control_problems(members: Sequence[str]) -> Iterator[str]:
    """Yield a problem where there are several control nodes, of which the first alone is let in."""
    if len(members) > 1:
        yield (
            f"the group control has {len(members)} hosts ({', '.join(members)}), and the nodes let"
            " in the refresh of one: leave one in it"
        )


def url_problems(variable: str, url: str) -> Iterator[str]:
    """Yield a problem where an IPv6 address in a URL lacks its brackets; it quotes no password."""
    scheme, mark, rest = url.partition("://")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    # libpq takes several hosts, each of which is checked by itself.
    for host in place.split(",") if mark else ():
        if host.startswith("["):
            end = re.fullmatch(r"\[([^\]]*)\](:[0-9]*)?", host)
            if not end or ":" not in end[1] or address_problem(end[1]):
                yield (
                    f"{variable}: {host} is not an IPv6 address in brackets, as in"
                    " [2001:db8::1]:5432"
                )
        elif host.count(":") > 1:
            yield (
                f"{variable}: the host of {scheme}://…{host} is an IPv6 address without brackets:"
                " write it as in [2001:db8::1]:5432"
            )


def address_problems(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield which hosts the others of the cluster cannot reach by their addresses."""
    reached = {host for group in REACHED for host in groups.get(group, ())}
    for host in [host for host in groups.get("all", ()) if host in reached]:
        address = hostvars[host].get("caspian_address")
        if address is None:
            continue
        if problem := address_problem(address):
            yield f"{host}: caspian_address is {address}, which {problem}"
        elif is_loopback(address) and len(groups["all"]) > 1:
            yield (
                f"{host}: caspian_address is {address}, where each of the other hosts finds itself:"
                " set it to the name or address by which they reach this one"
            )


def host_key_problems(
    host: str, facts: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield a problem where a control node could not know a node of Airflow by its host key."""
    airflow = {*groups.get("scheduler", ()), *groups.get("worker", ())}
    known = facts.get("ssh_host_key_ed25519_public") or not groups.get("control")
    if host in airflow and not known:
        yield (
            "it has no ed25519 host key, by which the control node would know it: install"
            " openssh-server and run ssh-keygen -A, also where Ansible does without"
        )


def asked_by(host: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the other hosts that a host asks by their addresses, without those of services."""
    members = {group: list(groups.get(group, ())) for group in (*REACHED, "control")}
    airflow = members["scheduler"] + members["worker"]
    asked = []
    if host in airflow:
        asked += members["scheduler"][:1] + members["metadata_db"] + members["broker"]
    if host in members["control"]:
        asked += airflow
    return [name for name in dict.fromkeys(asked) if name != host]


def family_problems(
    host: str,
    facts: Mapping[str, Any],
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Yield which hosts a host cannot ask, since it has no address of their version of IP."""
    own = {address.version for address in addresses_of(facts)}
    for version in {4, 6} - own:
        lost = [
            name
            for name in asked_by(host, groups)
            if (address := parse(str(hostvars[name].get("caspian_address"))))
            and address.version == version
        ]
        if lost:
            yield (
                f"it has no IPv{version} address, and {', '.join(lost)} can be reached by"
                f" IPv{version} alone (caspian_address)"
            )


def service_problems(group: str, members: Sequence[str], given: Collection[str]) -> Iterator[str]:
    """Yield a problem unless a service is either a group of hosts or given by URLs."""
    if members and given:
        yield (
            f"{' and '.join(given)} set although the group {group} has hosts"
            f" ({', '.join(members)}): take out the one that is not meant"
        )
    missing = [variable for variable in SERVICES[group] if variable not in given]
    if not members and missing:
        yield f"the group {group} is empty: give it a host, or set {' and '.join(missing)}"


def repository_problems(url: str) -> Iterator[str]:
    """Yield a problem where a URL carries a password, without repeating it."""
    parts = re.match(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<account>[^/]*)@(?P<rest>[^?#]*)", url)
    # Over http, an account without a password is a token.
    if parts and (":" in parts["account"] or parts["scheme"].lower().startswith("http")):
        yield (
            f"dag_sync_repository: {parts['scheme']}://***@{parts['rest']} has a password or token"
            " in it, which logs would show: use an ssh URL and a deploy key"
        )


def source_problems(sources: Any, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with the declared credentials."""
    receivers = {host for name in RECEIVING for host in groups.get(name, ())}
    places = [name for name, members in groups.items() if receivers & set(members)]
    for problem in credential_sources.problems_of(sources, [*receivers, *places]):
        yield f"credentials_sources: {problem}"


def outage_problems(hosts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield why an outage would cost tasks, by what an inventory says of that for its hosts."""
    default = outage.DEFAULT_OUTAGE_SECONDS
    given = [
        (host.get("airflow_outage_seconds", default), host.get("airflow_settings", {}))
        for host in hosts
    ]
    for position, (seconds, settings) in enumerate(given):
        if (seconds, settings) not in given[:position]:
            yield from outage.problems(seconds, settings)


def reach_problems(result: Mapping[str, Any], proof: str) -> Iterator[str]:
    """Yield why a host has not done a task, whose result would otherwise have the key `proof`."""
    cause = reason(result.get("module_stderr") or result.get("msg") or "")
    if result.get("unreachable"):
        yield f"cannot be reached: {cause}"
    elif not result.get(proof):
        yield f"answers, but cannot be examined: {cause}"


def platform_problems(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a problem where the distribution or its Python is not a supported one."""
    try:
        name, release = facts["distribution"], facts["distribution_major_version"]
        executable = facts["python"]["executable"]
        python = "{major}.{minor}".format(**facts["python"]["version"])
    except KeyError as error:
        yield f"does not say what it runs: its facts lack {error.args[0]}"
        return
    if name != "Debian" or release not in SUPPORTED:
        yield f"runs {name} {release}: Debian {' and '.join(SUPPORTED)} are supported"
    elif python != SUPPORTED[release]:
        yield (
            f"{executable} is Python {python}, and Debian {release} has"
            f" {SUPPORTED[release]}: set ansible_python_interpreter to /usr/bin/python3"
        )


def resource_problems(
    measured: str, setting: Callable[[str, Any], Any], now: float
) -> Iterator[str]:
    """Yield what is wrong with the clock, disk and memory that a host measured.

    The host's clock was read at some time between `asked`, when this machine sent the question, and
    `now`, so that a slow answer is not taken for a wrong clock.
    """
    asked, clock, disk, memory = node_facts.measured(measured)
    skew = min(clock - asked, 0) or max(clock - now, 0)
    if abs(skew) > float(setting("preflight_clock_skew_seconds", CLOCK_SKEW_SECONDS)):
        yield (
            f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the clock here:"
            " synchronise both (systemd-timesyncd, chrony), or signed tokens will be refused"
        )
    if disk < (wanted := float(setting("preflight_disk_mb", DISK_MB))):
        yield f"/ has {disk:.0f} MB free, less than preflight_disk_mb ({wanted:.0f})"
    if memory < (wanted := float(setting("preflight_memory_mb", MEMORY_MB))):
        yield f"it has {memory:.0f} MB of memory, less than preflight_memory_mb ({wanted:.0f})"


def host_problems(variables: Mapping[str, Any], now: float) -> Iterator[str]:
    """Yield what is wrong with one host."""
    # Where Ansible can't read an answer, the host's part ends before there is a result, whatever
    # the task says of failures.
    gathered = variables.get("__preflight_gathered", {})
    measured = variables.get("__preflight_measured", {})
    for result, proof in ((gathered, "ansible_facts"), (measured, "stdout")):
        if problems := list(reach_problems(result, proof)):
            yield from problems
            return
    try:
        yield from platform_problems(node_facts.checked(variables["ansible_facts"]))
        yield from resource_problems(measured["stdout"], variables.get, now)
    except node_answers.AnswerError as error:
        yield f"its answer is not one of a Debian node: {error}"


def problems_of(
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    hosts: Sequence[str],
    now: float,
) -> list[str]:
    """Return all that is wrong with the inventory and the hosts of this run, a line each.

    ``now`` is this machine's clock, in seconds since the epoch.
    """
    unreadable: dict[tuple[str, str], list[str]] = {}
    hostvars = {
        host: Readable(host, hostvars[host], unreadable)
        for host in dict.fromkeys([*groups.get("all", ()), *hosts])
    }
    everyone = [hostvars[host] for host in groups.get("all", hosts)]

    def values(variable: str) -> list[Any]:
        """Return the different values that a variable has, empty ones left out."""
        found = [variables[variable] for variables in everyone if variables.get(variable)]
        return [value for position, value in enumerate(found) if value not in found[:position]]

    def unread() -> set[str]:
        """Return the variables that are set and cannot be made out, of those asked for so far."""
        return {variable for variable, _reason in unreadable}

    problems = list(group_problems(groups))
    for variable, meaning in REQUIRED.items():
        if not values(variable) and variable not in unread():
            problems.append(f"{variable} is not set: it is {meaning}")
    for group, variables in SERVICES.items():
        given = [name for name in variables if values(name) or name in unread()]
        problems += service_problems(group, groups.get(group, []), given)
    problems += control_problems(groups.get("control", []))
    for variable in URLS:
        for url in values(variable):
            problems += url_problems(variable, str(url))
    problems += address_problems(hostvars, groups)
    for url in values("dag_sync_repository"):
        problems += repository_problems(str(url))
    for sources in values("credentials_sources"):
        problems += source_problems(sources, groups)
    problems += dict.fromkeys(outage_problems(everyone))
    for host in hosts:
        found = list(host_problems(hostvars[host], now))
        # Only a host that answers as it should can tell its addresses and key.
        if not found:
            facts = node_facts.checked(hostvars[host]["ansible_facts"])
            found += family_problems(host, facts, hostvars, groups)
            found += host_key_problems(host, facts, groups)
        problems += [f"{host}: {problem}" for problem in found]
    return problems + list(unreadable_problems(unreadable))
