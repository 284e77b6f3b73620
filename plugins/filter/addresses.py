# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes are written in URLs and ssh's files, and where they listen, of both versions of IP.

Facts are those that node_facts has checked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# A name whose last label is a number would be taken for an IPv4 address.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
NAME = re.compile(rf"(?=.{{1,253}}\Z)(?!(.*\.)?[0-9]+\.?\Z){_LABEL}(\.{_LABEL})*\.?")
LOOPBACK_NAME = re.compile(r"(?i)(.*\.)?localhost\.?")


def parse(text: str) -> Address | None:
    """Return an address, None for what is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def address_problem(given: Any) -> str | None:
    """Return why other nodes cannot reach a node by this name or address, None where they can."""
    text = str(given)
    address = parse(text)
    if address is None:
        if text.startswith("[") and parse(text.strip("[]")):
            return "is an address in brackets: write it without them"
        if not NAME.fullmatch(text):
            return "is neither a name nor an address; ansible_port takes a port other than 22"
        return None
    # No other node has the zone, nor have URLs and the files of ssh and PostgreSQL any.
    if isinstance(address, ipaddress.IPv6Address) and (address.is_link_local or address.scope_id):
        return (
            "is link-local, which is an address together with a zone of one machine alone: give the"
            " node a global address or a unique local one (fd00::/8)"
        )
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return f"is an IPv4 address within IPv6: write it as {address.ipv4_mapped}"
    if address.is_unspecified or address.is_multicast:
        return "is not the address of one node"
    return None


def is_loopback(given: Any) -> bool:
    """Tell whether each machine finds itself by this name or address."""
    address = parse(str(given))
    return address.is_loopback if address else bool(LOOPBACK_NAME.fullmatch(str(given)))


def checked(given: Any, name: str) -> str:
    """Return a name or address, an address in its canonical form; ``name`` is the filter's."""
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


def addresses_of(facts: Mapping[str, Any]) -> list[Address]:
    """Return the addresses of a host that others can reach, in the facts' order."""
    given = [*facts.get("all_ipv4_addresses", ()), *facts.get("all_ipv6_addresses", ())]
    found = [parse(str(text)) for text in given]
    return [
        address
        for address in found
        if address and not address.is_loopback and not address_problem(address)
    ]


def main_address(facts: Mapping[str, Any], version: int) -> Address | None:
    """Return the address of a host's default route, or else the only one of that version of IP."""
    default = parse(str((facts.get(f"default_ipv{version}") or {}).get("address", "")))
    if default and not address_problem(default):
        return default
    others = [address for address in addresses_of(facts) if address.version == version]
    return others[0] if len(others) == 1 else None


def own_addresses(facts: Mapping[str, Any], known_as: Any) -> list[str]:
    """Return the addresses on which a host listens so that others reach it as ``known_as``.

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


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {
            "known_host": known_host,
            "own_addresses": own_addresses,
            "own_networks": own_networks,
            "source_addresses": source_addresses,
            "url_host": url_host,
        }
