# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes are written in URLs and ssh's files, and where they listen, of both versions of IP.

Facts are those that node_facts has checked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils.addresses import (
    address_problem,
    addresses_of,
    main_address,
    parse,
)


def checked(given: Any, name: str) -> str:
    """Return a name, or an address in its canonical form; `name` is the filter's."""
    if problem := address_problem(given):
        raise AnsibleFilterError(f"{name}: {given} {problem}")
    return str(parse(str(given)) or given)


def url_host(given: Any) -> str:
    """Return a name or address as it is written in a URL: IPv6 in brackets."""
    host = checked(given, "url_host")
    return f"[{host}]" if ":" in host else host


def known_host(given: Any, port: Any = 22) -> str:
    """Return a name or address as ssh looks for it in known_hosts.

    ssh asks for an address in its canonical form, however it was given.
    """
    host = checked(given, "known_host")
    return host if int(port) == 22 else f"[{host}]:{int(port)}"


def own_addresses(facts: Mapping[str, Any], known_as: Any) -> list[str]:
    """Return the addresses on which a host listens so that others reach it as `known_as`.

    An address of its own is that one; one that the host does not have (translated on the way) is
    its main one of the same version; a name may lead to either version: the main ones of both,
    that of IPv4 first.
    """
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError("own_addresses: give it the facts of a node, and its address")
    known = parse(checked(known_as, "own_addresses"))
    if known and (known in addresses_of(facts) or known.is_loopback):
        return [str(known)]
    versions = [known.version] if known else [4, 6]
    found = [str(address) for version in versions if (address := main_address(facts, version))]
    if not found:
        kind = f"IPv{known.version} address" if known else "address"
        raise AnsibleFilterError(
            f"own_addresses: the node that others reach as {known_as} has no {kind} with a default"
            " route, nor has it a single one: say on which it listens"
        )
    return found


def own_networks(facts: Mapping[str, Any], known_as: Any) -> list[str]:
    """Return the networks that the addresses of own_addresses are in."""
    known = facts.get("networks") or {}
    networks = []
    for address in own_addresses(facts, known_as):
        if address not in known:
            raise AnsibleFilterError(
                f"own_networks: the network of {address} is not among the node's facts"
            )
        networks.append(known[address])
    return list(dict.fromkeys(networks))


def source_addresses(facts: Mapping[str, Any]) -> list[str]:
    """Return the addresses that a host's connections come from, for the option from= of sshd.

    Those with a zone are left out: sshd compares addresses without one, and any machine on the
    link could give itself the same.
    """
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError("source_addresses: give it the facts of a node")
    return list(dict.fromkeys(str(address) for address in addresses_of(facts)))


def networks(given: Sequence[str]) -> list[str]:
    """Return networks in their canonical notation."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise AnsibleFilterError("networks: give it a list of networks such as 10.0.0.0/24")
    try:
        return [str(ipaddress.ip_network(network)) for network in given]
    except ValueError as error:
        raise AnsibleFilterError(
            f"networks: {error}; write it like 10.0.0.0/24 or 2001:db8::/64"
        ) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {
            "known_host": known_host,
            "networks": networks,
            "own_addresses": own_addresses,
            "own_networks": own_networks,
            "source_addresses": source_addresses,
            "url_host": url_host,
        }
